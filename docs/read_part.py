import io, itertools, lmdb, struct, sys
def number(f):  # LEB128
    byte = f.read(1)[0]
    return byte if byte < 128 else byte - 128 + 128 * number(f)
def string(f, less=0):  # less=1: a length of 0 stands for no string
    return f.read(max(number(f) - less, 0)).decode()
def read(f):  # a stored document: URL, title, text, keys of its usable images
    images = [f.read(44) for _ in range(int.from_bytes(f.read(64)[12:16], "little"))]
    url, date, title, lang, charset, file = [string(f, less) for less in (0, 1, 0, 0, 0, 0)]
    offset, length, warnings = number(f), number(f), number(f)
    sources = [(string(f), string(f, 1), [string(f) for _ in range(i[3])]) for i in images]
    events, text, hidden = [], "", 0
    for head in (f.read(1)[0] for _ in range(number(f))):
        flags, place, name = f.read(head >> 7), number(f), number(f) if head & 127 else 0
        events.append((head & 127, sum(flags) & 1, number(f) if head & 127 in (0, 3) else 0))
    for kind, mark, size in events:  # the bytes of all texts and attribute values
        piece, hides = f.read(size).decode(), hidden or mark
        text += piece if kind == 0 and not hides else " " if kind == 2 else ""
        hidden += 1 if kind == 1 and hides else -1 if kind == 2 and hidden else 0
    return url, title, " ".join(text.split()), [i[12:44] for i in images if i[0] == 0]

part = lmdb.open(sys.argv[1], subdir=False, readonly=True, lock=False, max_dbs=20)
names = [*part.begin().cursor().iternext(values=False)]  # codes/ID ..., docs, images, meta, urls
*codes, docs, squares, _, _, txn = *map(part.open_db, names), part.begin()
for ordinal, record in itertools.islice(txn.cursor(docs), int(sys.argv[2])):
    *story, keys = read(io.BytesIO(record))
    print(*story, sep="\n", end="\n\n")
    for key, image in ((key, txn.get(key, db=squares)) for key in keys[:1]):
        open(key.hex() + ".jpg", "wb").write(image[40:40 + int.from_bytes(image[32:36], "little")])
        print(*struct.unpack("<256H", txn.get(key, db=codes[0])), file=open(key.hex() + ".codes", "w"))
