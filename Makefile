# Makefile - builds everything into build/bin. `make help` lists the targets.
#
# A folder's .c files become build/$(VARIANT)/FOLDER.a; every FOLDER/vlm_NAME_main.c becomes
# build/bin/vlm-NAME. Folders stand in the line of docs/ARCHITECTURE.md, and archives are linked in
# its reverse. SAN=address,undefined and SAN=thread build into folders of their own.

FOLDERS  = base nn tokenize vqgan shard models trainer serve
CC      ?= gcc
SAN     ?=
comma   := ,
VARIANT := $(if $(SAN),san-$(subst $(comma),-,$(SAN)),release)
BUILD   := build/$(VARIANT)
BIN     := $(if $(SAN),$(BUILD)/bin,build/bin)
PREFIX  ?= /usr/local

JOBS    ?= $(shell nproc)

-include config.mk

# make V=1 shows the commands.
say := $(if $(V),@:,@echo)
Q   := $(if $(V),,@)

LIBRARIES = libxml-2.0 libarchive lmdb libjpeg spng libwebp libwebpdemux zlib libdeflate libzstd \
            libbrotlidec json-c libxxhash libcrypto libseccomp openblas libpcre2-8 libutf8proc \
            libevent_core libevent_pthreads
PACKAGES  = gcc make pkg-config libxml2-dev libarchive-dev liblmdb-dev libjpeg62-turbo-dev \
            libspng-dev libwebp-dev libgif-dev zlib1g-dev libdeflate-dev libzstd-dev libbrotli-dev \
            libjson-c-dev libxxhash-dev libssl-dev \
            libseccomp-dev libopenblas-pthread-dev libpcre2-dev libutf8proc-dev libevent-dev \
            libcmocka-dev
CHECKERS  = clang clang-format cppcheck shellcheck mandoc

WARNINGS = -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
           -Wformat=2 -Wwrite-strings -Wundef -Wpointer-arith -Wconversion -fno-common
CFLAGS  ?= $(if $(SAN),-O1,-O2) -g
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE $(CFLAGS) $(WARNINGS) $(WERROR) -I. -MMD -MP -pthread \
             $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer) \
             $(shell pkg-config --cflags $(LIBRARIES) 2>/dev/null)
LDLIBS     = $(shell pkg-config --libs $(LIBRARIES) 2>/dev/null) -lgif -lm -pthread

sources  = $(filter-out %_main.c,$(wildcard $(1)/*.c $(1)/*/*.c))
objects  = $(patsubst %.c,$(BUILD)/%.o,$(call sources,$(1)))
ARCHIVES = $(foreach f,serve trainer models shard vqgan tokenize nn base,$(BUILD)/$(f).a)
MAINS    = $(wildcard $(FOLDERS:=/vlm_*_main.c) tools/vlm_*_main.c)
TOOLS    = $(foreach m,$(MAINS),$(BIN)/vlm-$(subst _,-,$(patsubst vlm_%_main.c,%,$(notdir $(m)))))
TESTS    = $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/test_*.c))
FUZZERS  = $(patsubst tests/fuzz/%.c,build/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
CFILES   = $(wildcard $(FOLDERS:=/*.[ch]) $(FOLDERS:=/*/*.[ch]) tools/*.[ch] tools/*/*.[ch] tests/*.[ch] tests/*/*.[ch])

.PHONY: all help deps libraries test test-accept test-long check layers format demo learn learn-docs bench fuzz \
        install clean dist
.DELETE_ON_ERROR:
.SECONDARY:
all: libraries $(TOOLS) ## build everything into build/bin

libraries:
	@pkg-config --exists $(LIBRARIES) || { echo "some libraries are missing; run: make deps" >&2; exit 1; }

define archive_rule
$(BUILD)/$(1).a: $(call objects,$(1))
	$(Q)rm -f $$@
	$(Q)ar rcs $$@ $$^
endef
$(foreach f,$(FOLDERS),$(eval $(call archive_rule,$(f))))
# Parts of tools/ that more than one main or test uses.
$(eval $(call archive_rule,tools))

# The numeric core: full optimisation that keeps IEEE results, and each kernel file for its CPU.
# Sanitizers make unrolled kernels too large: a minute of CPU a file even with -O1, most of it for
# registers. -Og does not unroll, and ASan's checks are calls: ten seconds, the same checks.
$(BUILD)/nn/%.o: ALL_CFLAGS := $(filter-out -Wconversion,$(ALL_CFLAGS)) \
    -fno-math-errno -fno-trapping-math $(if $(SAN),-Og -fno-var-tracking-assignments \
    --param asan-instrumentation-with-call-threshold=0,-O3)
ifneq ($(filter x86_64-%,$(shell $(CC) -dumpmachine)),)
avx2        = -mavx2 -mfma -mf16c
avx512      = $(avx2) -mavx512f -mavx512bw -mavx512vl -mavx512dq -mprefer-vector-width=512
avx512_vnni = $(avx512) -mavx512vnni
avx512_bf16 = $(avx512_vnni) -mavx512bf16
endif
$(foreach f,avx2 avx512 avx512_vnni avx512_bf16,$(eval $(BUILD)/nn/kernels/$(f).o: ISA = $($(f))))

# Files that are part of the program.
shipped = vqgan/shipped/config.json vqgan/shipped/model.safetensors
$(BUILD)/vqgan/tokenizer/shipped.o build/fuzz/vqgan/tokenizer/shipped.o: $(shipped)
$(BUILD)/models/recipe/shipped_recipes.o build/fuzz/models/recipe/shipped_recipes.o: $(wildcard models/recipes/*.ini)
$(BUILD)/tokenize/text/shipped_tokenizer.o build/fuzz/tokenize/text/shipped_tokenizer.o: tokenize/text/shipped/tokenizer.json
$(BUILD)/serve/page/web_page.o build/fuzz/serve/page/web_page.o: serve/page/web_page.html

$(BUILD)/%.o: %.c
	$(say) "compile $<"
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ISA) -c $< -o $@

define tool_rule
$(BIN)/vlm-$(subst _,-,$(patsubst vlm_%_main.c,%,$(notdir $(1)))): $(patsubst %.c,$(BUILD)/%.o,$(1)) $(BUILD)/tools.a $(ARCHIVES)
	$(say) "link    $$@"
	@mkdir -p $$(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $$^ -o $$@ $(LDLIBS)
endef
$(foreach m,$(MAINS),$(eval $(call tool_rule,$(m))))

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(BUILD)/tools.a $(ARCHIVES)
	$(say) "link    $@"
	$(Q)$(CC) $(ALL_CFLAGS) $^ -o $@ $(LDLIBS) -lcmocka

deps: ## install the Debian packages that are missing (asks for root)
	@tools/deps.sh $(PACKAGES)

test: deps ## unit tests and exact-output cases
	@$(MAKE) -j$(JOBS) --no-print-directory all $(TESTS)
	@tests/run.sh $(BIN) $(BUILD) $(TESTS)

test-accept: deps ## rewrite the expected output of every case in tests/cli
	@$(MAKE) -j$(JOBS) --no-print-directory all
	@ACCEPT=1 tests/run.sh $(BIN) $(BUILD)

test-long: deps ## the tests that take minutes: kills, full disks, whole crawls
	@$(MAKE) -j$(JOBS) --no-print-directory all $(TESTS)
	@tests/run_long.sh $(BIN) $(BUILD)

layers:
	@tools/layers.sh

check: ## layers, format, warnings as errors with gcc and clang, cppcheck, shellcheck
	@tools/deps.sh $(PACKAGES) $(CHECKERS)
	@tools/check.sh

format: ## rewrite all C files as .clang-format says
	clang-format -i $(CFILES)

demo: deps ## make a small crawl, shard it, train a model, serve it, ask it
	@tools/deps.sh curl
	@$(MAKE) -j$(JOBS) --no-print-directory all
	@tools/demo.sh $(BIN)

learn: deps ## train a model on simple pictures and measure what it knows: at most 40 minutes on two cores
	@$(MAKE) -j$(JOBS) --no-print-directory all
	@tools/learn.sh $(BIN)

learn-docs: deps ## the same, and write docs/learn.md
	@$(MAKE) -j$(JOBS) --no-print-directory all
	@tools/learn.sh $(BIN) docs

bench: deps ## speed beside FastWARC and libxml2, in one run
	@$(MAKE) -j$(JOBS) --no-print-directory all
	@tools/bench.sh $(BIN)

fuzz: ## run every fuzz target for T seconds (default 60)
	@tools/deps.sh $(PACKAGES) $(CHECKERS) libclang-rt-dev
	@$(MAKE) -j$(JOBS) --no-print-directory $(FUZZERS)
	@tests/fuzz/run.sh $(or $(T),60) $(FUZZERS)

FUZZ_OBJECTS = $(patsubst %.c,build/fuzz/%.o,$(foreach f,$(FOLDERS),$(call sources,$(f))))
FUZZ_FLAGS   = -std=c11 -D_GNU_SOURCE -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all
# A minute of CPU a kernel file without this, thirteen seconds with it. ASan sees what these checks of
# pointers would, and the sanitizer build has them.
build/fuzz/nn/kernels/%.o: FUZZ_FLAGS += -fno-sanitize=alignment,null,pointer-overflow,object-size
build/fuzz/%.o: %.c
	$(say) "compile $@"
	@mkdir -p $(@D)
	$(Q)clang $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -I. -MMD -MP \
	    $(shell pkg-config --cflags $(LIBRARIES) 2>/dev/null) -c $< -o $@

build/fuzz/fuzz_%: build/fuzz/tests/fuzz/fuzz_%.o $(FUZZ_OBJECTS)
	$(say) "link    $@"
	$(Q)clang $(FUZZ_FLAGS) -fsanitize=fuzzer $^ -o $@ $(LDLIBS)

install: all ## copy the programs, their manual pages and the service below PREFIX
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/lib/systemd/system
	install -m 755 $(filter-out %/vlm-learn,$(TOOLS)) $(DESTDIR)$(PREFIX)/bin
	install -m 644 $(wildcard $(FOLDERS:=/*.1) tools/*.1) $(DESTDIR)$(PREFIX)/share/man/man1
	sed 's,/usr/local/bin,$(PREFIX)/bin,' serve/vlm-serve.service >$(DESTDIR)$(PREFIX)/lib/systemd/system/vlm-serve.service
	chmod 644 $(DESTDIR)$(PREFIX)/lib/systemd/system/vlm-serve.service

dist: ## a tar of the committed tree
	git archive --format=tar.gz --prefix=vlm/ -o vlm.tar.gz HEAD

clean: ## delete build/
	rm -rf build

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

-include $(shell find build -name '*.d' 2>/dev/null)
