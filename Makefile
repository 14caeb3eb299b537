# All set-up happens by itself: `make up` and `make test` need Python 3.11+, its venv module, git and make.
.DEFAULT_GOAL := help
.PHONY: help up test check integration faults observability deploy-check image-steps fuzz bench demo simulate send token deadletters rebuild accounts schemas settings dashboards manifests format clean

VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime-installed
DEV := $(VENV)/.dev-installed
FUZZ := $(VENV)/.fuzz-installed
KAFKA_TESTS := tests/integration/kafka_real
# suites with a target of their own: they need servers, or take long
PROMETHEUS_TESTS := tests/deploy/observed
IMAGE_TESTS := tests/deploy/image
K8S_TESTS := tests/deploy/k8s
# processes that tests run in; each has embedded servers of its own
WORKERS ?= 2

# a `$$` or a quote in a text is text
ifdef TEXT
override TEXT := $(value TEXT)
endif
export TEXT

# DOCKER=1 speaks to the stack of deploy/compose.yaml, and needs no environment here
ifdef DOCKER
LOCAL := docker compose -f deploy/compose.yaml exec -T -e CHANNEL="$$CHANNEL" -e FROM="$$FROM" -e TEXT="$$TEXT" dev python
else
LOCAL := $(BIN)/python
LOCAL_READY := $(RUNTIME)
endif

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(RUNTIME): requirements/base.txt requirements/local.txt
	@sh deploy/local/install.sh $(VENV) $^ && touch $@

$(DEV): $(RUNTIME) requirements/dev.txt
	@sh deploy/local/install.sh $(VENV) requirements/base.txt requirements/local.txt requirements/dev.txt && touch $@

$(FUZZ): $(DEV) requirements/fuzz.txt
	@sh deploy/local/install.sh $(VENV) requirements/base.txt requirements/local.txt requirements/dev.txt requirements/fuzz.txt && touch $@

up: $(RUNTIME) ## run everything on http://127.0.0.1:8080 (PORT, DATA_DIR)
	@exec $(BIN)/python -m deploy.local.up

send: $(LOCAL_READY) ## send a provider's webhook (CHANNEL=sms|whatsapp|messenger|instagram|email|chat|telegram|line|voice FROM=… TEXT=… KEYS=…)
	@exec $(LOCAL) -m deploy.local.send

token: $(LOCAL_READY) ## print a token of AGENT (ana, ben, cleo, lea, adam), valid 12 hours
	@exec $(LOCAL) -m deploy.local.token "$(AGENT)"

demo: $(LOCAL_READY) ## play a recorded day and show what became of it (ARGS=--details: of every webhook and reply)
	@exec $(LOCAL) -m deploy.local.demo $(ARGS)

simulate: $(RUNTIME) ## play a synthetic day of 50,000 Conversations (ARGS="--seed 2 --policy FILE --html FILE")
	@exec $(BIN)/python -m services.router.simulate $(ARGS)

deadletters: $(RUNTIME) ## list, show, retry or drop what no service could handle (ARGS="list", KAFKA_BOOTSTRAP_SERVERS)
	@exec $(BIN)/python -m deploy.local.operate services.chassis.deadletters $(ARGS)

rebuild: $(RUNTIME) ## make a store again from its topics and compare it with the live one (SERVICE=conversation|identity, ARGS="--into DATABASE")
	@exec $(BIN)/python -m deploy.local.operate services.$(SERVICE).rebuild $(ARGS)

accounts: $(RUNTIME) ## ask the providers whether our accounts work (ARGS="twilio-sms/main", ACCOUNTS_FILE)
	@exec $(BIN)/python -m services.notifier.accounts check $(ARGS)

settings: $(RUNTIME) ## list the environment variables of each service
	@exec $(BIN)/python -m deploy.local.settings

test: $(DEV) ## all tests that need no engine of their own
	$(BIN)/pytest -q -n $(WORKERS) $(addprefix --ignore=,$(KAFKA_TESTS) $(PROMETHEUS_TESTS) $(IMAGE_TESTS) $(K8S_TESTS)) $(ARGS)

integration: $(DEV) ## the tests on a real Apache Kafka (needs Java 17 and Maven)
	$(BIN)/pytest -q $(KAFKA_TESTS) $(ARGS)

faults: $(DEV) ## kill, freeze and cut off what runs on a real Apache Kafka, and judge what is left (FAULTS=long for longer)
	$(BIN)/pytest -q --durations=12 tests/faults $(ARGS)

observability: $(DEV) ## dashboards and rules against a real Prometheus that watches the demo (needs prometheus)
	$(BIN)/pytest -q $(PROMETHEUS_TESTS) $(ARGS)

image-steps: $(DEV) ## perform the image's steps in a clean environment and start every command from there
	$(BIN)/pytest -q $(IMAGE_TESTS) $(ARGS)

deploy-check: $(DEV) ## render the Kubernetes overlays and check them (needs kubectl or kustomize)
	$(BIN)/pytest -q $(K8S_TESTS) $(ARGS)

fuzz: $(FUZZ) ## feed parsers whatever breaks them (FUZZ_SECONDS=60 a target, ARGS="a target's name")
	$(BIN)/python -m tests.fuzz $(ARGS)

bench: $(DEV) ## measure against controls on a real Apache Kafka, into .local/bench (ARGS="ingest --scale full")
	$(BIN)/python -m tests.bench $(ARGS)

check: $(DEV) ## lint, format, types, imports, generated files
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m schemas.generate --check
	$(BIN)/python -m deploy.grafana.generate --check
	$(BIN)/python -m deploy.k8s.generate --check

format: $(DEV) ## format, and fix what can be fixed
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

schemas: $(DEV) ## write schemas/json and schemas/asyncapi anew
	$(BIN)/python -m schemas.generate

dashboards: $(DEV) ## write deploy/grafana/dashboards anew
	$(BIN)/python -m deploy.grafana.generate

manifests: $(DEV) ## write the generated Kubernetes manifests anew
	$(BIN)/python -m deploy.k8s.generate

clean: ## forget the environment, caches and the local stack's data
	rm -rf $(VENV) .cache .local .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
