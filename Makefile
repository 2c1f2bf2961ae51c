# make demo    the main job on the sample company; ONCE=1 ends after the questions
# make test    what CI runs: format, lints, tests, docs
# make torture OPS=100000 SEED=1    random histories against the oracle
# make crash KILLS=500 SEED=1      kills and power losses, checked against the oracle
# make bench-peers SIZE=100k       our search and other engines on the same rows, callers and queries; 10k, 100k or 1m
# make eval DATA_SETS=../shared/data    how well each mode ranks judged collections; EVAL_DATA=folder keeps what was ingested
# make fuzz SECONDS=60 TARGET=acl    hostile inputs for every decoder, or for one
# make model   the embedding model, from pinned packages, into model/

DATA ?= demo-data
LISTEN ?= 127.0.0.1:8600
SIGHTLINE = target/release/sightline

OPS ?= 10000
SEED ?= 1

KILLS ?= 500

SIZE ?= 100k

DATA_SETS ?= ../shared/data
EVAL_SETS = scifact xquad/en xquad/de xquad/zh xquad/ar jsquad/valid cmrc2018/dev
EVAL_DIRS = $(wildcard $(addprefix $(DATA_SETS)/,$(EVAL_SETS)))
EVAL_DATA ?=

SECONDS ?= 60
TARGET ?=

.PHONY: demo test torture crash eval fuzz bench-peers model build clean

demo: model build
	$(SIGHTLINE) demo demo --data $(DATA) --listen $(LISTEN) $(if $(ONCE),--once)

test: model
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets -- -D warnings
	cargo test --release --workspace
	RUSTDOCFLAGS="-D warnings" cargo doc --release --workspace --no-deps --document-private-items

torture:
	OPS=$(OPS) SEED=$(SEED) cargo test --release --test torture

crash:
	KILLS=$(KILLS) SEED=$(SEED) cargo test --release --test crash

bench-peers: target/peers/bin/python
	@test target/peers/whole -nt benches/peers/requirements.txt || target/peers/bin/pip install --quiet --disable-pip-version-check --retries 1 \
		--requirement benches/peers/requirements.txt && touch target/peers/whole || \
		echo "skipped: pip cannot install benches/peers/requirements.txt; what is missing is left out" >&2
	@cargo bench --no-run --bench vector --bench keyword
	@target/peers/bin/python -B benches/peers/peers.py $(SIZE)

target/peers/bin/python:
	python3 -m venv target/peers

fuzz:
	SECONDS=$(SECONDS) SEED=$(SEED) TARGET=$(TARGET) cargo test --release --test fuzz

eval: model build
	@for set in $(filter-out $(EVAL_DIRS),$(addprefix $(DATA_SETS)/,$(EVAL_SETS))); do echo "skipped: $$set is not there" >&2; done
	@if [ -n "$(EVAL_DIRS)" ]; then $(SIGHTLINE) eval $(EVAL_DIRS) $(if $(EVAL_DATA),--data $(EVAL_DATA)); fi

model:
	python3 scripts/model.py --out model

build:
	cargo build --release --bin sightline

clean:
	rm -rf target model $(DATA)
