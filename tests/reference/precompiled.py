"""A precompiled_charsmap as SentencePiece writes it: a double array of keys, then the replacements."""
import base64
import struct


def charsmap(pairs):
    """Base64 of the map of a dictionary of strings; all keys are non-empty."""
    texts, places = b"", {}
    for key in sorted(pairs):
        places[key.encode()] = len(texts)
        texts += pairs[key].encode() + b"\0"
    units, used = {}, set()

    def place(node, keys, depth):
        """Puts the children of a node, which all begin with the same `depth` bytes."""
        labels = sorted({key[depth] if len(key) > depth else 0 for key in keys})
        base = 1
        while any(base ^ label in used for label in labels) or (base ^ node) >= 1 << 21 or base ^ 0 in used:
            base += 1
        used.update(base ^ label for label in labels)
        used.add(base)  # of the value, also where there is none
        leaf = 0 in labels
        offset = base ^ node
        units[node] = (units.get(node, 0) & 0xff) | offset << 10 | leaf << 8
        for label in labels:
            child = base ^ label
            if not label:
                units[child] = places[keys[0][:depth]] | 1 << 31
            else:
                units[child] = label
                place(child, [key for key in keys if len(key) > depth and key[depth] == label], depth + 1)

    used.add(0)
    place(0, sorted(places), 0)
    size = (max(units) | 255) + 1  # a unit that is asked for differs from a child in the last byte only
    trie = b"".join(struct.pack("<I", units.get(i, 0)) for i in range(size))
    return base64.b64encode(struct.pack("<I", len(trie)) + trie + texts).decode()
