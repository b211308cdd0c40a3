# PDAutoscaler: `make help` lists what can be done here.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
BIN := $(CURDIR)/bin

# Packages with property tests take the number of cases as a flag of theirs.
PROPERTY := $(shell grep -rl --include='*_test.go' 'pgregory.net/rapid' pkg sim cmd test 2>/dev/null | xargs -r -n1 dirname | sort -u | sed 's|^|./|')
OTHERS = $(filter-out $(PROPERTY),$(shell go list -f '{{.Dir}}' ./... | sed 's|^$(CURDIR)|.|'))
CASES ?= 1000
LONG_CASES ?= 10000
# Where the cases begin: 0 is somewhere else each time. A gate begins where it began before, so that a change is not held up by
# what it did not touch; the nightly run looks further.
CASES_SEED ?= 0
RAPID = -rapid.seed=$(CASES_SEED) -rapid.checks=
# Suites that take minutes: the stand-in held to RBG, random faults, many services. test-long runs them.
SUITES := ./test/conformance ./test/faults ./test/benchcontroller
# Packages at a time, of those with property tests and of the others: those with a control plane wait more than they work.
AT_ONCE ?= 2

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the binaries into bin/
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/...

.PHONY: gpu-agent
gpu-agent: ## Build the node agent for GPUs into bin/ (Linux, glibc, gcc; the only binary with cgo)
	CGO_ENABLED=1 go build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/gpu-agent

.PHONY: demo
demo: ## Watch the autoscaler at work on this machine, about 4 minutes
	@CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/demo ./cmd/pdautoscaler ./cmd/pdctl
	@$(BIN)/demo $(DEMO)

.PHONY: test
test: control-plane ## Unit, property (1,000 cases a rule) and control-plane tests
	@go test -p $(AT_ONCE) -shuffle=on -timeout 60m $(filter-out $(SUITES),$(OTHERS)) & others=$$!; \
	rules=0; go test -p $(AT_ONCE) -shuffle=on -timeout 60m $(PROPERTY) $(RAPID)$(CASES) || rules=$$?; \
	wait $$others && exit $$rules

.PHONY: test-tools
test-tools: ## The tests of what packs images and archives, which are modules of their own
	@for module in image krew; do go test -C test/tools/$$module -count=1 ./...; done

.PHONY: race
race: control-plane ## The tests with the race detector
	go test -race -shuffle=on -timeout 90m $(OTHERS) ./pkg/controller ./pkg/workload
	go test -race -short -shuffle=on -timeout 90m $(PROPERTY) $(RAPID)100

.PHONY: test-long
test-long: race ## The same with 10,000 cases a rule, more random faults, and the suites that take minutes
	go test -shuffle=on -timeout 120m $(PROPERTY) $(RAPID)$(LONG_CASES)
	$(MAKE) faults SEQUENCES=30

SEQUENCES ?= 200
SEED ?= 1
.PHONY: faults
faults: control-plane ## Play random load and faults on the control plane, SEQUENCES of them from SEED on (30 take 2.5 minutes)
	@go test -count=1 -v -timeout 120m -run Sequences ./test/faults -faults.sequences=$(SEQUENCES) -faults.seed=$(SEED) -faults.steps=8 -faults.parallel=10 -faults.restarts=10 | grep -vE '^=== (RUN|PAUSE|CONT)'

.PHONY: bench-controller
bench-controller: control-plane ## Measure one controller with 500 services, about 5 minutes
	@go test -count=1 -v -timeout 20m -run ManyServices ./test/benchcontroller -bench.services=500 -bench.interval=10s -bench.window=180s -bench.bars | grep -vE '^=== (RUN|PAUSE|CONT)'

FUZZTIME ?= 30s
.PHONY: fuzz
fuzz: ## Fuzz every parser for FUZZTIME each
	@git grep -lE '^func Fuzz' -- '*_test.go' | while read -r file; do \
		for f in $$(grep -oE '^func Fuzz[A-Za-z0-9_]*' "$$file" | cut -d' ' -f2); do \
			go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) "./$$(dirname "$$file")" </dev/null; done; done

.PHONY: fuzz-short
fuzz-short: ## The same for 5,000 cases each: counted, since Go now and then calls the end of its own time a failure where the machine is busy
	@$(MAKE) fuzz FUZZTIME=5000x

.PHONY: bench
bench: ## Run the benchmarks
	go test -run '^$$' -bench . -benchmem ./pkg/... ./sim/...

.PHONY: sim
sim: ## Play the simulator's scenarios and draw a page for each in sim-report/
	@go run ./sim/scenarios/cmd/gallery -out sim-report

.PHONY: sim-results
sim-results: ## The table of docs/simulator.md: every policy tuned to the same attainment (traces need PDAUTOSCALER_DATA), half an hour
	@go run ./sim/scenarios/cmd/results

.PHONY: figures
figures: ## Draw the figures of docs/concepts.md anew (needs PDAUTOSCALER_DATA)
	@go run ./docs/figures

.PHONY: accuracy
accuracy: ## How far the model is from measurements and simulations (measurements need PDAUTOSCALER_DATA)
	@go run ./cmd/pdctl accuracy
	@go test -count=1 -v -run 'Bars|Simulation|Recorded' ./pkg/capacity | grep -E '_test.go|^(---|ok|FAIL)'

.PHONY: e2e-metrics
e2e-metrics: control-plane ## Real HPAs carry the plan out for the emulated service, about 3 minutes
	PDAUTOSCALER_LONG=1 go test -count=1 -v -timeout 60m -run HPAs ./test/e2e | grep -vE '^=== (RUN|PAUSE|CONT)'

.PHONY: e2e-signals
e2e-signals: ## Hold a real Prometheus against the pods it reads (needs the package prometheus, or PDAUTOSCALER_PROMETHEUS)
	PDAUTOSCALER_E2E=1 go test -count=1 -v -timeout 10m ./test/signals | grep -vE '^=== (RUN|PAUSE|CONT)'
	go test -count=1 -v -timeout 5m -run Prometheus ./cmd/gpu-agent | grep -vE '^=== (RUN|PAUSE|CONT)'
	PDAUTOSCALER_LONG=1 go test -count=1 -v -timeout 5m -run 'KeepToTheirCost|QueriesAreConstant' ./pkg/signals | grep -vE '^=== (RUN|PAUSE|CONT)'

.PHONY: e2e-install
e2e-install: control-plane ## Install the chart, play a load on its sample, lose the leader, upgrade, uninstall: 3 to 6 minutes
	PDAUTOSCALER_E2E=1 go test -count=1 -v -timeout 60m ./test/install | grep -vE '^=== (RUN|PAUSE|CONT)'

RBG ?= stand-in
.PHONY: conformance
conformance: $(if $(filter external,$(RBG)),,control-plane) ## Hold the RBG stand-in, or the controller of your cluster (RBG=external), to what is known of RBG
	@RBG=$(RBG) go test -count=1 -v -timeout 60m $(if $(RUN),-run 'TestConformance/.*/$(RUN)') ./test/conformance | grep --line-buffered -vE '^=== (RUN|PAUSE|CONT|NAME)|^ *--- (PASS|SKIP)|_test.go:[0-9]+: observed: '

.PHONY: control-plane
control-plane: ## Build the Kubernetes control plane that tests and demo run (once, 6-8 minutes)
	@go run ./test/controlplane/cmd/controlplane -build-only

TOOL := go tool -modfile=$(CURDIR)/test/tools/dev/go.mod

.PHONY: generate
generate: ## Write the generated code and manifests anew
	$(TOOL) controller-gen object paths=./pkg/api/...
	$(TOOL) controller-gen crd paths=./pkg/api/... output:crd:dir=config/crd/bases
	$(TOOL) controller-gen rbac:roleName=pdautoscaler paths=./pkg/controller output:rbac:dir=config/rbac
	go generate ./pkg/metricsapi/...
	go run ./docs/generate
	go run ./charts/generate

.PHONY: verify
verify: generate ## Fail if generated parts, formatting or modules are not current, or a link is dead
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	go mod tidy -diff
	git diff --exit-code -- pkg/api pkg/metricsapi config docs charts
	go test -count=1 ./docs/... ./charts/generate/...

.PHONY: lint
lint: ## Vet and lint
	go vet ./...
	$(TOOL) golangci-lint run ./...

# Where govulncheck finds the database of known holes: online, or a folder that holds a copy of it. Nothing here asks another
# machine unless it is told to. Programs are looked at with their symbols, so that a hole in what is not linked is none.
VULNDB ?=
VULNDB_FLAG = $(if $(filter-out online,$(VULNDB)),-db file://$(abspath $(VULNDB)))
.PHONY: vuln
vuln: ## Look for known holes in what is linked (VULNDB=online, or a folder with the database)
	@if [ -z '$(VULNDB)' ]; then echo 'vuln: skipped: VULNDB is neither online nor a folder with a copy of the database of known holes'; exit 0; fi; \
	dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	CGO_ENABLED=0 go build -o "$$dir/" ./cmd/...; \
	for program in "$$dir"/*; do echo "$${program##*/}:"; timeout 5m $(TOOL) govulncheck -mode binary $(VULNDB_FLAG) "$$program"; done

.PHONY: helm-lint
helm-lint: ## Lint the Helm chart with each set of values of charts/testdata
	go test -count=1 -run '^TestLint$$' ./charts

# What others share is made once of one call of make: see .ci/run.
.NOTPARALLEL:
.PHONY: presubmit
presubmit: lint vuln helm-lint verify test test-tools race fuzz-short ## All that a change must pass, from lint to race detector and a short fuzzing

# Time of the commit, as everything that is packed has it.
CREATED = $$(TZ=UTC git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ)

ARCHES ?= amd64 arm64
IMAGES ?= pdautoscaler pdctl
.PHONY: image
image: ## Build the container images into dist/, without a container engine
	@for arch in $(ARCHES); do for name in $(IMAGES); do \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch go build -trimpath -ldflags '$(LDFLAGS)' -o dist/linux_$$arch/$$name ./cmd/$$name; done; done
	@for name in $(IMAGES); do go run -C test/tools/image . -name $$name -version $(VERSION) -revision $$(git rev-parse HEAD) \
		-created $(CREATED) -out $(CURDIR)/dist \
		$$(for arch in $(ARCHES); do echo linux/$$arch=$(CURDIR)/dist/linux_$$arch/$$name; done); done

PLATFORMS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64
.PHONY: dist
dist: ## Pack pdctl into dist/ as a plugin of kubectl: archives, checksums, krew's manifest (VERSION=v0.1.0)
	@for platform in $(PLATFORMS); do \
		CGO_ENABLED=0 GOOS=$${platform%/*} GOARCH=$${platform#*/} go build -trimpath -ldflags '$(LDFLAGS)' -o dist/$${platform%/*}_$${platform#*/}/pdctl ./cmd/pdctl; done
	@go run -C test/tools/krew . -version $(VERSION) -created $(CREATED) -licence $(CURDIR)/LICENSE -out $(CURDIR)/dist \
		$$(for platform in $(PLATFORMS); do echo $$platform=$(CURDIR)/dist/$${platform%/*}_$${platform#*/}/pdctl; done)
	@cd dist && sha256sum --check SHA256SUMS

.PHONY: clean
clean: ## Remove what was built here
	rm -rf $(BIN) dist demo
