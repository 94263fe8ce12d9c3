# Needs Rust (https://rustup.rs); what else is missing, `prepare` installs with apt.

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
PORTCULLIS := $(TARGET)/release/portcullis
# For `make fuzz`: how long each target runs.
SECONDS ?= 60
# For `make evasion`: how many cases are played to a Linux receiver.
CASES ?= 10000
# For `make bench`: the size of the capture.
MEGABYTES ?= 200

.PHONY: demo test bench bench-inline fuzz evasion prepare lint doc build

demo: build
	@echo
	@echo "== what a person sees: portcullis read pcaps/demo.pcap --policy policies/smtp.policy"
	@echo
	@$(PORTCULLIS) read pcaps/demo.pcap --policy policies/smtp.policy
	@echo
	@echo "== what a program gets: the same with --eve - (the first two mails and alerts of it)"
	@echo
	@$(PORTCULLIS) read pcaps/demo.pcap --policy policies/smtp.policy --eve - > $(TARGET)/demo.json
	@grep -m 2 '"event_type":"smtp"' $(TARGET)/demo.json
	@grep -m 2 '"event_type":"alert"' $(TARGET)/demo.json

# What the tests in network namespaces run; where it cannot be installed they say that they are skipped.
NETWORK := ip=iproute2 iptables-legacy=iptables nft=nftables ethtool python3 curl openssl

test: prepare lint doc
	@tests/prepare.sh $(NETWORK) || echo "some tests will be skipped"
	$(CARGO) test --workspace --locked

bench: build
	$(CARGO) build --release --locked -p portcullis-tests --bin generate_capture
	@tests/bench.sh $(TARGET) $(MEGABYTES)

# As root: mails per second through a gateway, beside plain forwarding and a program that accepts everything.
bench-inline: build
	@tests/prepare.sh $(NETWORK)
	$(CARGO) build --release --locked -p portcullis-tests --bin mail_load
	$(CARGO) build --release --locked -p portcullis-capture --example accept_all
	@tests/bench-inline.sh $(TARGET)

fuzz:
	@tests/prepare.sh g++
	@fuzz/run.sh $(SECONDS)

# As root. SEED=... plays the cases of another run again.
evasion: prepare
	$(CARGO) build --release --locked -p portcullis-tests --bin evasion
	$(TARGET)/release/evasion --cases $(CASES) $(if $(SEED),--seed $(SEED))

build: prepare
	$(CARGO) build --release --locked -p portcullis

lint: prepare
	@tests/lint.sh

doc: prepare
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

prepare:
	@tests/prepare.sh
