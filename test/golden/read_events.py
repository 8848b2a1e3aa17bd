"""What TensorBoard's own reader finds in a folder of event files, as one line of JSON."""

import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.util.tensor_util import make_ndarray
import glob

folder = sys.argv[1]
events = EventAccumulator(folder, size_guidance={"scalars": 0, "tensors": 0})
events.Reload()
tags = events.Tags()


def metadata(tag):
    return events.SummaryMetadata(tag).plugin_data.plugin_name


# The reader turns every summary into a tensor and says by plugin what it was.
values = {}
for tag in tags["scalars"]:
    values[tag] = [[event.step, event.value] for event in events.Scalars(tag)]
for tag in tags["tensors"]:
    for event in events.Tensors(tag):
        array = make_ndarray(event.tensor_proto)
        text = metadata(tag) == "text"
        value = array.reshape(-1)[0].decode() if text else float(array.reshape(-1)[0])
        values.setdefault(tag, []).append([event.step, value])

records = sum(1 for path in glob.glob(folder + "/events.out.tfevents.*") for _ in EventFileLoader(path).Load())
print(json.dumps({"values": values, "plugins": {tag: metadata(tag) for tag in tags["tensors"]}, "records": records}))
