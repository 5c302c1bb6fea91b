# Each target does its own set-up; see scripts/.
CASELOAD ?= caseload/caseload-2000.csv
OUT ?= demo-out
FUZZ_SECONDS ?= 60
export CASELOAD OUT FUZZ_SECONDS

.DEFAULT_GOAL := help
.PHONY: help demo test bench vectors ct-check fuzz

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' Makefile

demo: ## a distribution from caseload to audit; CASELOAD=file.csv for another file, OUT=folder for another place
	@scripts/demo.sh "$$CASELOAD" "$$OUT"

test: ## everything that has to pass, as CI runs it
	@scripts/test.sh

bench: ## time and size of every operation, beside curve25519-dalek's and ed25519-dalek's
	@bash -euo pipefail -c '. scripts/setup.sh; exec cargo bench --locked -p annona-benches'

vectors: ## write spec/vectors anew
	@bash -euo pipefail -c '. scripts/setup.sh; exec cargo run --release --locked -p annona-tests --bin vectors -- spec/vectors'

ct-check: ## look for secret-dependent timing in issue, sign and show
	@bash -euo pipefail -c '. scripts/setup.sh; exec cargo run --release --locked -p annona-benches --bin ct-check'

fuzz: ## every decoder, FUZZ_SECONDS each; installs cargo-fuzz if it is missing
	@scripts/fuzz.sh "$$FUZZ_SECONDS"
