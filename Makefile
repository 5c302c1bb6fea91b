# Each target does its own set-up; see scripts/.
CASELOAD ?= caseload/caseload-2000.csv
OUT ?= demo-out
FUZZ_SECONDS ?= 60
MILLIONS ?= 10
KILLS ?= 1000
DRAWS ?= 20000
VOUCHERS ?= 1000000
FIXTURES ?= target/audit-fixtures
export CASELOAD OUT FUZZ_SECONDS MILLIONS KILLS DRAWS VOUCHERS FIXTURES

.DEFAULT_GOAL := help
.PHONY: help demo test bench bench-avx2 bench-audit bench-wallet criterion load load-millions crash vectors ct-check ct-callgrind fuzz

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /make \1\t/p' Makefile

demo: ## a distribution from caseload to audit; CASELOAD=file.csv for another file, OUT=folder for another place
	@scripts/demo.sh "$$CASELOAD" "$$OUT"

test: ## everything that has to pass, as CI runs it
	@scripts/test.sh

bench: ## time and size of every operation, beside curve25519-dalek's, ed25519-dalek's and bulletproofs'; in one table
	@bash -euo pipefail -c '. scripts/setup.sh; exec cargo run --release --locked -p annona-benches --bin table'

bench-avx2: ## the same table without AVX-512
	@bash -euo pipefail -c '. scripts/setup.sh; export RUSTFLAGS="--cfg curve25519_dalek_backend=\"simd\""; exec cargo run --release --locked -p annona-benches --bin table --target-dir "$${CARGO_TARGET_DIR:-target}/avx2"'

bench-audit: ## the audit of VOUCHERS=1000000 vouchers and DRAWS=20000 draws, generated and kept in FIXTURES=folder; memory, threads, a yardstick
	@bash -euo pipefail -c '. scripts/setup.sh; cargo build --release --locked -p annona-audit --bin annona-audit -p annona-benches --bin audit; exec "$${CARGO_TARGET_DIR:-target}/release/audit" run --draws "$$DRAWS" --vouchers "$$VOUCHERS" --folder "$$FIXTURES"'

criterion: ## criterion's statistics for the same operations
	@bash -euo pipefail -c '. scripts/setup.sh; exec cargo bench --locked -p annona-benches'

bench-wallet: ## what a wallet computes for each thing that a household waits for, in processor time
	@bash -euo pipefail -c '. scripts/setup.sh; exec cargo run --release --locked -p annona-benches --bin wallet'

load: ## how fast an issuer and a site answer, beside what the disk and the processor allow; in one table
	@bash -euo pipefail -c '. scripts/setup.sh; exec cargo run --release --locked -p annona-benches --bin load'

load-millions: ## redeem until a site has MILLIONS=10 million spent vouchers; takes most of an hour and 4 GB of disk
	@bash -euo pipefail -c '. scripts/setup.sh; exec cargo run --release --locked -p annona-benches --bin load -- --millions "$$MILLIONS"'

crash: ## kill -9 issuer and sites KILLS=1000 times while wallets enrol, draw and redeem; then the audit
	@bash -euo pipefail -c '. scripts/setup.sh; export ANNONA_KILLS="$$KILLS"; exec cargo test --locked -p annona-node --test crash -- --nocapture'

vectors: ## write spec/vectors and the examples in spec/wire.md anew
	@bash -euo pipefail -c '. scripts/setup.sh; exec cargo run --release --locked -p annona-tests --bin vectors -- spec/vectors'

ct-check: ## look for secret-dependent timing in issue, sign, blind, show and holder proofs
	@bash -euo pipefail -c '. scripts/setup.sh; exec cargo run --release --locked -p annona-benches --bin ct-check'

ct-callgrind: ## count instructions of the same operations for several secrets; needs valgrind, takes ten minutes
	@scripts/ct-callgrind.sh

fuzz: ## every decoder, FUZZ_SECONDS each; installs cargo-fuzz if it is missing
	@scripts/fuzz.sh "$$FUZZ_SECONDS"
