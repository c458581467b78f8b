# Archives go through the confined worker too; names beyond ASCII find their pictures,
# and the local times of a zip file are the same in every time zone.
base64 -d >pages.zip <<'END'
UEsDBBQAAAAIAABQoVj640PAUAAAAGQAAAAPAAAAc2VpdGUgZWlucy5odG1ss8lNLUlUSM5ILCpO
LbEtLUnTtbCzKbALKc9XKM8vSim20S+ws8nMTVcoLkq2VUrKzElJLdJPOrykSMFQryAvXQmLpKqz
saqjSZGqkQFUCQBQSwMEFAAACAgAAFChWAt82BqaAAAAGAEAABEAAABiaWxkZXIvYsOkciAxLnBu
Z+sM8HPn5ZLiYmBg4PX0cAkC0lEgzMEEJLefuhYKpO57ujiGVMx5e0eRr9lBwCFQIdSWpd2x+E6W
ibpTuOlLc9MWkY/z7qakfzauOl47j91uWb39g7gnHJZOfROUoZTc/v7rybszPrzeGVPyWXKbMqos
jaikL8ZXzG8LFrXIKLqfwEl9ZFN4w7rXs/zTAaBXGTxd/VzWOSU0AQBQSwECFAMUAAAACAAAUKFY
+uNDwFAAAABkAAAADwAAAAAAAAAAAAAAgAEAAAAAc2VpdGUgZWlucy5odG1sUEsBAhQDFAAACAgA
AFChWAt82BqaAAAAGAEAABEAAAAAAAAAAAAAAIABfQAAAGJpbGRlci9iw6RyIDEucG5nUEsFBgAA
AAACAAIAfAAAAEYBAAAAAA==
END
TZ=UTC vlm-make-crawl -n 3 --seed 3 -q -o crawl
tar cf pages.tar crawl
for input in pages.zip pages.tar; do
    vlm-shard $input -o out-$input -q --json | grep -o '"documents": {"in": [0-9]*, "kept": [0-9]*'
    vlm-shard verify out-$input
done
TZ=Asia/Tokyo vlm-shard pages.zip -o tokyo -q
cmp out-pages.zip/part-00000.lmdb tokyo/part-00000.lmdb && echo equal
vlm-inspect cat out-pages.zip | grep -o '"url": "[^"]*"\|"date": "[^"]*"\|"status": "[^"]*"'
TZ=Asia/Tokyo vlm-inspect records pages.zip | grep -o '"uri": "[^"]*", "date": "[^"]*"'
gzip -n <pages.tar | head -c 3000 >cut.tar.gz
echo words | xz >words.xz
vlm-inspect records cut.tar.gz words.xz | grep -o '"file": "[^"]*"\|"error": "[^"]*"'
vlm-shard pages.zip cut.tar.gz words.xz -o out-cut -q --json --max-bad 100% |
    grep -o '"damage": {[^}]*}\|"kept": 1'
