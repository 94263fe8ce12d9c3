# Configures and starts the servers. Sourced by record.sh; `start_servers` is its interface. Nothing here is meant for use: passwords
# are known, anything may be read, and some of the listeners are weak on purpose, because a capture shall show the weakness.
#
#   Postfix    10.25.0.10, fd25::10  example.com; STARTTLS, AUTH     .11 two seconds of patience   .12 refuses every client
#              .13 normalizes bare line feeds, .15 refuses them    .14 offers STARTTLS but has no certificate
#   Exim       10.25.0.20  example.net; AUTH, CHUNKING, STARTTLS    .21 refuses every client
#   OpenSMTPD  10.25.0.30  example.test; STARTTLS is offered, but this version fails in the handshake with OpenSSL 3
#   Dovecot    10.25.0.40 port 24, LMTP for example.com; passwords for Postfix
#   BIND       10.25.0.53, fd25::53  example.com, example.org, 25.10.in-addr.arpa

start_servers() {
  local name
  for name in postfix exim opensmtpd dovecot; do
    install -d -o 45025 -g 45025 "$PCL_ROOM/record/mail/$name"
  done
  make_certificate
  start_dovecot
  start_postfix
  start_exim
  start_opensmtpd
  start_bind
  local address
  for address in 10.25.0.10/25 10.25.0.14/25 10.25.0.20/25 10.25.0.30/25 10.25.0.40/24 10.25.0.53/53; do
    wait_for "$address"
  done
}

wait_for() {
  local attempt
  for attempt in $(seq 100); do
    in_root main server timeout 2 bash -c "exec 3<>/dev/tcp/$1" 2> /dev/null < /dev/null && return
    sleep 0.1
  done
  echo "record.sh: no server answers at ${1%/*} port ${1#*/}" >&2
  tail -n 15 "$PCL_ROOM"/main/var/log/{postfix,dovecot}.log "$PCL_ROOM"/exim/var/log/exim4/* "$PCL_ROOM/opensmtpd/var/log/smtpd.log" >&2 || true
  return 1
}

make_certificate() {
  local root
  tool openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=mx.example.com \
    -keyout /record/key.pem -out /record/certificate.pem 2> /dev/null
  for root in main exim opensmtpd; do
    mkdir -p "$PCL_ROOM/$root/etc/pcl"
    cp "$PCL_ROOM/record/certificate.pem" "$PCL_ROOM/record/key.pem" "$PCL_ROOM/$root/etc/pcl/"
    chmod 600 "$PCL_ROOM/$root/etc/pcl/key.pem"
  done
  tool chown -R root:root /etc/pcl
  "${clean[@]}" chroot "$PCL_ROOM/exim" chown -R Debian-exim /etc/pcl
  rm "$PCL_ROOM/record/key.pem"
}

start_postfix() {
  local etc=$PCL_ROOM/main/etc/postfix
  cat > "$etc/main.cf" <<'CF'
compatibility_level = 3.6
myhostname = mx.example.com
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = all
inet_protocols = all
smtpd_peername_lookup = no
disable_dns_lookups = yes
maillog_file = /var/log/postfix.log
smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
virtual_mailbox_domains = example.com
virtual_mailbox_base = /record/mail/postfix
virtual_mailbox_maps = regexp:/etc/postfix/mailboxes
virtual_uid_maps = static:45025
virtual_gid_maps = static:45025
virtual_mailbox_limit = 0
header_checks = regexp:/etc/postfix/headers
smtpd_tls_security_level = may
smtpd_tls_cert_file = /etc/pcl/certificate.pem
smtpd_tls_key_file = /etc/pcl/key.pem
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
smtpd_error_sleep_time = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_connection_count_limit = 0
smtpd_forbid_bare_newline = no
smtpd_forbid_unauth_pipelining = no
CF
  printf '!/^nobody@/ inbox/\n' > "$etc/mailboxes"
  printf '/^Subject: forbidden/ REJECT This subject is forbidden here\n' > "$etc/headers"
  # The distribution's services without its listener, and none of them in a chroot of its own.
  { awk '$1 == "smtp" && $2 == "inet" { next } /^[a-z]/ && NF >= 8 { $5 = "n" } { print }' "$PCL_ROOM/main/usr/share/postfix/master.cf.dist"
    cat <<'CF'
10.25.0.10:smtp inet n - n - - smtpd
[fd25::10]:smtp inet n - n - - smtpd
10.25.0.11:smtp inet n - n - - smtpd -o smtpd_timeout=2s
10.25.0.12:smtp inet n - n - - smtpd -o smtpd_client_restrictions=reject -o smtpd_delay_reject=no
10.25.0.13:smtp inet n - n - - smtpd -o smtpd_forbid_bare_newline=normalize
10.25.0.15:smtp inet n - n - - smtpd -o smtpd_forbid_bare_newline=reject
10.25.0.14:smtp inet n - n - - smtpd -o smtpd_tls_cert_file=/etc/pcl/missing.pem -o smtpd_tls_key_file=/etc/pcl/missing.pem
CF
  } > "$etc/master.cf"
  in_root main server timeout 30 postfix start > /dev/null 2>&1 < /dev/null
}

start_dovecot() {
  cat > "$PCL_ROOM/main/etc/dovecot/pcl.conf" <<'CF'
protocols = lmtp
hostname = lmtp.example.com
log_path = /var/log/dovecot.log
mail_location = maildir:/record/mail/dovecot/%n
mail_plugins = quota
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_username_chars =
auth_failure_delay = 0
passdb {
  driver = static
  args = password=wonderland
}
userdb {
  driver = passwd-file
  args = /etc/dovecot/users
}
plugin {
  quota = maildir:mailbox
}
service auth {
  unix_listener /var/spool/postfix/private/auth {
    mode = 0660
    user = postfix
    group = postfix
  }
}
service lmtp {
  inet_listener lmtp {
    address = 10.25.0.40
    port = 24
  }
}
CF
  # userdb_quota_rule makes carol's mailbox too small for any mail: her reply after the dot is a refusal.
  cat > "$PCL_ROOM/main/etc/dovecot/users" <<'CF'
bob@example.com::45025:45025::/record/mail/dovecot::
carol@example.com::45025:45025::/record/mail/dovecot::userdb_quota_rule=*:bytes=1
dave@example.com::45025:45025::/record/mail/dovecot::
CF
  in_root main server timeout 30 dovecot -c /etc/dovecot/pcl.conf > /dev/null 2>&1 < /dev/null
}

start_exim() {
  cat > "$PCL_ROOM/exim/etc/exim4/exim4.conf" <<'CF'
primary_hostname = exim.example.net
domainlist local_domains = example.net
log_file_path = /var/log/exim4/%slog
local_interfaces = 10.25.0.20 : 10.25.0.21
tls_advertise_hosts = *
tls_certificate = /etc/pcl/certificate.pem
tls_privatekey = /etc/pcl/key.pem
chunking_advertise_hosts = *
host_lookup =
rfc1413_query_timeout = 0s
never_users = root
acl_smtp_connect = acl_connect
acl_smtp_predata = acl_predata
acl_smtp_rcpt = acl_rcpt
acl_smtp_data = acl_data
acl_smtp_vrfy = accept
acl_smtp_expn = accept

begin acl
acl_connect:
  deny condition = ${if eq{$received_ip_address}{10.25.0.21}}
       message = no mail is taken here
  accept
acl_predata:
  deny senders = early@example.org
       message = no data from this sender
  accept
acl_rcpt:
  deny local_parts = nobody
       message = no such mailbox
  accept domains = +local_domains
  accept authenticated = *
  deny message = relay not permitted
acl_data:
  deny condition = ${if match{$h_subject:}{^forbidden}}
       message = this subject is forbidden here
  accept

begin routers
inbox:
  driver = accept
  domains = +local_domains
  transport = inbox
postfix:
  driver = manualroute
  domains = example.com
  transport = chunks
  route_list = * 10.25.0.10

begin transports
inbox:
  driver = appendfile
  directory = /record/mail/exim/inbox
  maildir_format
  create_directory
  delivery_date_add
  envelope_to_add
  return_path_add
  user = pclmail
chunks:
  driver = smtp
  helo_data = exim-client.example.org
  hosts_try_chunking = *
  hosts_avoid_tls = *

begin retry
* * F,2h,15m

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and{{eq{$auth2}{alice}}{eq{$auth3}{wonderland}}}}
  server_set_id = $auth2
CF
  in_root exim server timeout 30 exim4 -bd -q30m > /dev/null 2>&1 < /dev/null
}

start_opensmtpd() {
  cat > "$PCL_ROOM/opensmtpd/etc/smtpd.conf" <<'CF'
pki pcl cert "/etc/pcl/certificate.pem"
pki pcl key "/etc/pcl/key.pem"
table users { "@" = "pclmail" }
listen on 10.25.0.30 port 25 hostname opensmtpd.example.test tls pki pcl
action "inbox" maildir "/record/mail/opensmtpd/inbox" virtual <users>
match from any for domain "example.test" action "inbox"
CF
  in_root opensmtpd server bash -c 'mkdir -p /run/smtpd /var/spool/smtpd /var/lib/opensmtpd/empty; chmod 711 /var/spool/smtpd
    chown root:root /etc/pcl/*.pem; exec smtpd -d -f /etc/smtpd.conf' > "$PCL_ROOM/opensmtpd/var/log/smtpd.log" 2>&1 < /dev/null &
}

start_bind() {
  local etc=$PCL_ROOM/main/etc/bind number
  cat > "$etc/pcl.conf" <<'CF'
options {
  directory "/var/cache/bind";
  listen-on { 10.25.0.53; };
  listen-on-v6 { fd25::53; };
  recursion no;
  dnssec-validation no;
  allow-transfer { any; };
  minimal-responses no;
  version "none";
  server-id none;
};
controls { };
zone "example.com" { type primary; file "/etc/bind/example.com.zone"; };
zone "example.org" { type primary; file "/etc/bind/example.org.zone"; };
zone "25.10.in-addr.arpa" { type primary; file "/etc/bind/reverse.zone"; };
CF
  { cat <<'ZONE'
$TTL 3600
@ SOA ns.example.com. hostmaster.example.com. 2026010101 7200 3600 1209600 300
  NS ns
  MX 10 mx
  MX 20 mx-backup
  TXT "v=spf1 mx -all"
  TXT "two strings " "in one record"
  CAA 0 issue "ca.example.net"
ns A 10.25.0.53
ns AAAA fd25::53
mx A 10.25.0.10
mx AAAA fd25::10
mx-backup A 10.25.0.11
www CNAME web
web A 10.25.0.80
_submission._tcp SRV 0 5 587 mx
_sip._udp NAPTR 10 100 "s" "SIP+D2U" "" _sip._udp.example.net.
selector._domainkey TXT "v=DKIM1; k=ed25519; p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
*.wild A 10.25.0.81
ZONE
    for number in $(seq 60); do echo "many A 10.25.1.$number"; done
  } > "$etc/example.com.zone"
  cat > "$etc/example.org.zone" <<'ZONE'
$TTL 3600
@ SOA ns.example.com. hostmaster.example.com. 2026010101 7200 3600 1209600 300
  NS ns.example.com.
client A 10.25.0.2
client AAAA fd25::2
ZONE
  cat > "$etc/reverse.zone" <<'ZONE'
$TTL 3600
@ SOA ns.example.com. hostmaster.example.com. 2026010101 7200 3600 1209600 300
  NS ns.example.com.
10.0 PTR mx.example.com.
2.0 PTR client.example.org.
ZONE
  in_root main server bash -c 'mkdir -p /run/named; chown bind:bind /run/named; exec timeout 30 named -u bind -c /etc/bind/pcl.conf' > /dev/null 2>&1 < /dev/null
}
