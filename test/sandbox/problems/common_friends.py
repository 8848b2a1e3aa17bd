def common_friends(friends, person):
    """Suggests friends: who is no friend of the person yet but shares at least one friend with them. A set.

    `friends` has for every name the set of that person's friends. Who is not in it has none.

    >>> sorted(common_friends({"ann": {"bob"}, "bob": {"ann", "cid"}, "cid": {"bob"}}, "ann"))
    ['cid']
    """
    if person not in friends:
        return set()
    known = friends[person]
    suggested = set()
    for friend in known:
        for other in friends.get(friend, set()):
            if other != person and other not in known:
                suggested.add(other)
    return suggested


def check(candidate):
    friends = {"ann": {"bob", "dan"}, "bob": {"ann", "cid"}, "cid": {"bob", "eve"}, "dan": {"ann", "eve", "bob"}, "eve": {"cid", "dan"}}
    assert candidate(friends, "ann") == {"cid", "eve"}
    assert candidate(friends, "eve") == {"ann", "bob"}
    assert candidate(friends, "zoe") == set()
    assert candidate({"ann": {"bob"}}, "ann") == set()
    assert isinstance(candidate(friends, "bob"), set)
    assert friends["ann"] == {"bob", "dan"}
