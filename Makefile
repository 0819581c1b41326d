# What is needed is Go and git; everything else is built from Go modules.
# Helpers of the tests (a Kubernetes control plane, Jaeger, a Collector) are kept in the
# user's cache directory; the first build of them takes up to a quarter of an hour. The page is
# tested in a Chromium, which has to be there for that.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -s -w -X github.com/rollspan/rollspan/pkg/cli.version=$(VERSION)
# Without gRPC's page of traces, whose templates have the linker keep every method of every type of
# Kubernetes, the program is a fifth smaller. TestWhatIsLinked says what keeps them, if anything does.
TAGS := grpcnotrace

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show what there is to make
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/rollspan
	CGO_ENABLED=0 go build -trimpath -tags '$(TAGS)' -ldflags '$(LDFLAGS)' -o bin/rollspan .

IMAGE ?= rollspan/rollspan
PLATFORMS ?= linux/amd64,linux/arm64
# Times in the image are the commit's, so that who builds it again gets the same.
CREATED ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)

.PHONY: image
image: ## Build the image into bin/image, without a container engine (PUSH=registry/name:tag sends it there)
	cd test/tools/image && go run . -source ../../.. -out ../../../bin/image -platforms '$(PLATFORMS)' -build-tags '$(TAGS)' -ldflags '$(LDFLAGS)' \
		-version '$(VERSION)' -revision '$(shell git rev-parse HEAD 2>/dev/null)' -created '$(CREATED)' \
		-tags '$(IMAGE):dev,$(IMAGE):$(VERSION)' -push '$(PUSH)'

# The chart's version is the release's; without one it is that in Chart.yaml.
HELM := go tool -modfile=test/tools/helm/go.mod helm
RELEASE := $(shell echo '$(VERSION)' | sed -nE 's/^v([0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?)$$/\1/p')
CHARTS ?= oci://localhost:5000/charts

.PHONY: chart
chart: ## Package the chart into bin/chart
	rm -rf bin/chart
	$(HELM) package deploy/helm/rollspan -d bin/chart $(if $(RELEASE),--version $(RELEASE) --app-version v$(RELEASE))

.PHONY: chart-push
chart-push: chart ## Push the chart as an OCI artifact (CHARTS=oci://registry/path says where)
	$(HELM) push $(HELM_ARGS) bin/chart/rollspan-*.tgz $(CHARTS)

.PHONY: release
release: chart ## Make the release of the tag that is checked out: archives, checksums, SBOMs, a draft
	go tool -modfile=test/tools/release/go.mod goreleaser release --clean

.PHONY: release-check
release-check: chart ## Have goreleaser, krew and actionlint check what makes a release, and make a snapshot of one
	go tool -modfile=test/tools/release/go.mod goreleaser check
	go tool -modfile=test/tools/release/go.mod actionlint
	go tool -modfile=test/tools/release/go.mod goreleaser release --snapshot --clean --skip=sign
	go tool -modfile=test/tools/release/go.mod validate-krew-manifest -manifest dist/krew/rollspan.yaml -skip-install
	cd test/tools/release && go test . -args -dist ../../../dist

.PHONY: demo
demo: build ## Show rollouts that were recorded as traces, without a cluster
	bin/rollspan demo $(DEMO_ARGS)

.PHONY: demo-cluster
demo-cluster: build ## Show rollouts on a local control plane (DEMO_ARGS=--current-cluster: on yours)
	go run ./test/demo --rollspan bin/rollspan $(DEMO_ARGS)

.PHONY: test
test: lint tools unit image-test release-test ui-test e2e ## Run everything: linters, unit tests, end-to-end tests

# With a seed, property tests draw the same cases each time: if one fails, it is for
# what was changed. Others are drawn without it, as by fuzz.
.PHONY: unit
unit: ## Run the tests that need no cluster, with the race detector
	RAPID_SEED=1 go test -race -short -timeout 60m . ./pkg/...

.PHONY: image-test
image-test: ## Run the tests of what builds the image
	cd test/tools/image && go test .

# goreleaser itself takes three minutes to build: make release-check.
.PHONY: release-test
release-test: ## Check what makes a release, as far as that takes no goreleaser
	cd test/tools/release && go test .

# UI_SHOTS=FOLDER keeps pictures of the pages to look at.
.PHONY: ui-test
ui-test: ## Run the tests of the page in a real Chromium
	cd test/tools/ui && go test .

# One package at a time: each boots a control plane of its own.
.PHONY: e2e
e2e: tools ## Run the tests against a real control plane, Jaeger and Collector
	go test -p 1 -timeout 30m ./pkg/cli ./test/...

# Each control plane is built the first time, which takes another ten minutes. What came of it is
# in docs/stability.md.
.PHONY: compat
compat: tools ## Run the end-to-end tests against the oldest and the newest Kubernetes of docs/stability.md
	for kubernetes in $(notdir $(wildcard test/tools/kubernetes-*)); do \
		ROLLSPAN_KUBERNETES=$$kubernetes go test -timeout 60m ./test/e2e || exit 1; \
	done

.PHONY: tools
tools: ## Build the control plane, Jaeger and the Collector that the tests use
	go run ./test/controlplane/cmd/controlplane -build

.PHONY: lint
lint: ## Run golangci-lint
	go mod tidy -diff
	go tool -modfile=test/tools/lint/go.mod golangci-lint run --allow-parallel-runners

.PHONY: vuln
vuln: ## Run govulncheck (asks vuln.go.dev)
	go tool -modfile=test/tools/vuln/go.mod govulncheck ./...

FUZZTIME ?= 1m

.PHONY: fuzz
fuzz: ## Fuzz all that is read for FUZZTIME (1m) each, and draw many cases for property tests
	go test ./pkg/watcher -run '^$$' -fuzz '^FuzzRecording$$' -fuzztime $(FUZZTIME)
	go test ./pkg/watcher -run '^$$' -fuzz '^FuzzDump$$' -fuzztime $(FUZZTIME)
	go test ./pkg/causality -run '^$$' -fuzz '^FuzzStream$$' -fuzztime $(FUZZTIME)
	go test ./pkg/causality -run '^$$' -fuzz '^FuzzSnapshot$$' -fuzztime $(FUZZTIME)
	go test ./pkg/otlp/export -run '^$$' -fuzz '^FuzzAnswerOfHTTP$$' -fuzztime $(FUZZTIME)
	go test ./pkg/internal/terminal -run '^$$' -fuzz '^FuzzLine$$' -fuzztime $(FUZZTIME)
	go test ./pkg/cli -run '^$$' -fuzz '^FuzzStatus$$' -fuzztime $(FUZZTIME)
	go test ./pkg/watcher -run '^$$' -fuzz '^FuzzCut$$' -fuzztime $(FUZZTIME)
	go test ./pkg/causality/internal/schedules -run '^$$' -fuzz '^FuzzTimetable$$' -fuzztime $(FUZZTIME)
	go test -timeout 30m ./pkg/causality $(addprefix ./pkg/causality/internal/,build clocks critpath evidence kube) ./pkg/spans ./pkg/otlp/... -rapid.checks 200

.PHONY: soak
soak: soak-delivery ## What make test has no time for: fuzz for ten minutes each (docs/soak.md), and soak-delivery
	$(MAKE) fuzz FUZZTIME=10m

# Its figures are written into docs/reliability.md, with their date and size.
.PHONY: soak-delivery
soak-delivery: tools ## Disturb rollspan, the collector and the API server as often as docs/reliability.md says, under 2,000 pods (SOAK_ARGS: flags of test/soak)
	go test ./test/soak -v -run TestTable -timeout 8h -soak -soak.deployments 80 -soak.pods 25 -soak.at-once 8 -soak.for 20m -soak.500s 10m \
		-soak.o ../../docs/reliability.md $(SOAK_ARGS)

# What the engine costs alone is in go.txt, which benchstat can compare with another;
# the table is in cost.md, and its figures are in cost.json. Nothing else should run.
BENCH_DIR ?= bin/bench

.PHONY: bench
bench: build ## Measure what rollspan costs, beside a program that only watches, and the engine alone (BENCH_DIR: results)
	mkdir -p $(BENCH_DIR)
	go test ./pkg/causality/... ./pkg/journal ./pkg/otlp/... ./pkg/cli -run '^$$' -bench . -benchmem -cpu 1 -timeout 30m > $(BENCH_DIR)/go.txt || { cat $(BENCH_DIR)/go.txt; exit 1; }
	go run ./test/bench/cost -pods 2000 -with 'data-dir=--data-dir {dir}' -export 200000 -engine $(BENCH_DIR)/go.txt -o $(BENCH_DIR) $(BENCH_ARGS)

.PHONY: bench-large
bench-large: build ## Measure the same with 5,000 and 10,000 pods, the page, logs, first lists and recovery (an hour and a half)
	go run ./test/bench/cost -pods 2000 -with 'page=--ui-address 127.0.0.1:0' -with 'logs=--logs' -o $(BENCH_DIR)/with $(BENCH_ARGS)
	go run ./test/bench/cost -pods 5000,10000 -with 'data-dir=--data-dir {dir}' -restarts -limit 40m -o $(BENCH_DIR)/large $(BENCH_ARGS)
	go test ./pkg/journal -run '^$$' -bench Recover -benchtime 1x -cpu 1 -timeout 1h -recover.pods 50000
	go run ./test/bench/lists

.PHONY: bench-lists
bench-lists: build ## Measure the memory that the first lists of a large cluster take (BENCH_ARGS=-h: its flags)
	go run ./test/bench/lists $(BENCH_ARGS)

.PHONY: golden
golden: ## Rewrite the golden files after a change that is meant to show
	go test ./pkg/causality -run 'Golden|Scenarios' -rewrite
