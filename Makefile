# The thin front of the build; CMakeLists.txt does the work. PG_CONFIG chooses another PostgreSQL, BUILD_DIR another
# folder.
BUILD_DIR ?= build
PG_CONFIG ?= $(firstword $(wildcard /usr/lib/postgresql/15/bin/pg_config) pg_config)
export PG_CONFIG
export BUILD_DIR := $(abspath $(BUILD_DIR))
GENERATOR = $(if $(shell command -v ninja),-G Ninja)
SOURCES = $(shell git ls-files -co --exclude-standard 'src/*.h' 'src/*.cpp' 'src/*.inl' 'test/*.h' 'test/*.cpp' 'bench/*.cpp' 2>/dev/null)

all: $(BUILD_DIR)/CMakeCache.txt
	@cmake --build $(BUILD_DIR)

$(BUILD_DIR)/CMakeCache.txt:
	@cmake -S . -B $(BUILD_DIR) $(GENERATOR) -DPG_CONFIG=$(PG_CONFIG) $(CMAKE_FLAGS) >/dev/null

setup:
	@scripts/setup.sh

install: all
	cmake --install $(BUILD_DIR)

# against an installed extension and a running server (PGHOST, PGPORT, PGUSER)
installcheck:
	$(shell dirname $(shell $(PG_CONFIG) --pgxs))/../test/regress/pg_regress --bindir=$(shell $(PG_CONFIG) --bindir) \
	    --inputdir=. --outputdir=$(BUILD_DIR) --dbname=contrib_regression $(sort $(basename $(notdir $(wildcard sql/*.sql))))

demo: setup
	@$(MAKE) -s all
	@scripts/demo.sh

demo-stop:
	@scripts/demo.sh stop

test: setup
	@$(MAKE) -s all
	@test/run.sh

bench: 
	@scripts/setup.sh bench
	@$(MAKE) -s all
	@cmake --build $(BUILD_DIR) --target benchmarks
	@bench/run.sh

quality: setup
	@$(MAKE) -s all
	@bench/quality_run.sh

# what test/gpu/run.sh needs on a machine with a card, in one folder
gpu-bundle: setup
	@$(MAKE) -s all
	@cmake --build $(BUILD_DIR) --target dlent_device_tests dlent_device_bench
	@scripts/gpu_bundle.sh

# core and fuzzers under AddressSanitizer and UndefinedBehaviorSanitizer, then the server's suites with the runtime preloaded
asan: setup
	@$(MAKE) -s all BUILD_DIR=$(BUILD_DIR)-asan CMAKE_FLAGS="-DDLENT_SANITIZE=address,undefined"
	@BUILD_DIR=$(BUILD_DIR)-asan test/run.sh --sanitized

format:
	@clang-format -i $(SOURCES)

# it wants each file's own command line
tidy:
	@cmake -S . -B $(BUILD_DIR)-tidy $(GENERATOR) -DPG_CONFIG=$(PG_CONFIG) -DDLENT_UNITY=off >/dev/null
	@clang-tidy -p $(BUILD_DIR)-tidy --quiet $(filter src/%.cpp,$(SOURCES))

clean:
	rm -rf $(BUILD_DIR) $(BUILD_DIR)-asan $(BUILD_DIR)-tidy

.PHONY: all setup install installcheck demo demo-stop test bench quality gpu-bundle asan format tidy clean
