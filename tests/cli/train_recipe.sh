# Recipes with typing errors: one sentence, status 2, nothing made. No shard is looked at before.
try() {
    vlm-train shards -o run "$@" 2>&1 | head -n 1
}
printf '[system]\nname = mine\n[data]\nrender = cm3\n[embed]\nposition = sinusoid\n[trunk]\nlayr = pre-ln\n' >mine.ini
printf '[system]\r\nname = mine\r\n[data]\r\nrender = cm33\r\n' >windows.ini
printf '\377\376[\000s\000' >utf16.ini
head -c 70000 /dev/zero | tr '\000' '\n' >large.ini
printf '[train]\nfreze = embed.*\n' >options.ini
try --recipe cm4
try --recipe unheard-of
try --recipe ./absent.ini
try --recipe mine.ini
try --recipe windows.ini
try --recipe utf16.ini
try --recipe large.ini
try --set data.lamda=0
try --set data.lambda=many
try --set dta.lambda=0
try --set trunk.layer=lama
try --set train.freze=embed.*
try -c options.ini
vlm-train shards -o run --recipe mine.ini 2>/dev/null
echo "status $?"
test ! -e run && echo "no run was begun"
