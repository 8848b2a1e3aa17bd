#include "model/architecture.h"

#include "core/errors.h"

namespace magrpo::model {

const std::vector<Architecture>& architectures() {
  static const std::vector<Architecture> all{
#include "generated/architectures.inc"
  };
  return all;
}

const Architecture& find_architecture(const std::string& model_type) {
  for (const Architecture& architecture : architectures())
    if (architecture.model_type == model_type) return architecture;
  throw core::Error("ERR_MODEL_UNSUPPORTED", "There is no architecture \"", model_type, "\".");
}

}  // namespace magrpo::model
