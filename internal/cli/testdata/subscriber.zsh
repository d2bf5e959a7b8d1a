#compdef subscriber
# zsh completion of subscriber: source <(subscriber --completion zsh)
_subscriber() {
	_arguments -s -S \
		'(-e --endpoint)'{-e+,--endpoint=}'[host, host:port, or mqtts://, mqtt:// and these]:ENDPOINT:' \
		'(-p --client-prefix)'{-p+,--client-prefix=}'[client id is PREFIX-<uuid4>]:PREFIX:' \
		'*'{-t+,--topic=}'[topic filter; may be given again (in the variable: separated by spaces)]:FILTER:' \
		'(-C --cert-dir)'{-C+,--cert-dir=}'[holds private.key, cert.pem, AmazonRootCA1.pem]:DIR:_files -/' \
		'(-F --format --json)'{-F+,--format=}'[pretty, json, raw, text, hex, base64, or a pattern such as '\''%I %t %p'\'']:FORMAT:(pretty json raw text hex base64)' \
		'(-F --format --json)--json[the same as -F json: an object on a line for each message]' \
		'*--exclude=[skip topics that match; may be given again]:FILTER:' \
		'(-R --no-retained)'{-R,--no-retained}'[skip messages that the server had kept]' \
		'(-n --count)'{-n+,--count=}'[stop after N messages; 0 = never]:N:' \
		'(-W --wait)'{-W+,--wait=}'[stop this long after subscribing: 30, 0.5, 5m]:TIME:' \
		'(--no-reconnect)--no-reconnect[stop when the connection is lost]' \
		'(-q --qos)'{-q+,--qos=}'[highest wanted (AWS IoT: 0 or 1)]:0|1|2:(0 1 2)' \
		'(-k --keep-alive)'{-k+,--keep-alive=}'[0 turns it off]:SECONDS:' \
		'(--timeout)--timeout=[longest wait for any answer]:TIME:' \
		'(--client-id)--client-id=[the whole client id (replaces -p)]:ID:' \
		'(--persistent)--persistent[clean session 0: the server keeps the session; needs --client-id]' \
		'(--store)--store=[keep the session in DIR as well; needs --persistent]:DIR:_files -/' \
		'(--will-topic)--will-topic=[where the server is to publish, if the connection ends without DISCONNECT]:TOPIC:' \
		'(--will-message)--will-message=[and what; without it an empty payload]:TEXT:' \
		'(--will-qos)--will-qos=[at which delivery level]:0|1|2:(0 1 2)' \
		'(--will-retain)--will-retain[the server is to keep it as the last message]' \
		'(--ca)--ca=[file to use in place of the CA in --cert-dir; enough for a server that asks for no certificate]:FILE:_files' \
		'(--cert)--cert=[the same for the certificate]:FILE:_files' \
		'(--key)--key=[the same for the private key]:FILE:_files' \
		'(--aws)--aws[the server is AWS IoT Core, or plays it, though its name does not end in .amazonaws.com]' \
		'(--alpn)--alpn[offer the protocol x-amzn-mqtt-ca (ALPN) on any port; on port 443 it always is]' \
		'(--username)--username=[user name in CONNECT, for brokers that ask for one]:NAME:' \
		'(--password-file)--password-file=[holds the password]:FILE:_files' \
		'(--authorizer)--authorizer=[custom authorizer of AWS IoT, in place of a certificate; '\'''\'': the endpoint'\''s default one. Port 443 unless given]:NAME:' \
		'(--token-key)--token-key=[the name under which the authorizer looks for its token]:KEY:' \
		'(--token-file)--token-file=[holds the token; read again for each connection]:FILE:_files' \
		'(--signature-file)--signature-file=[holds the token'\''s signature in base64]:FILE:_files' \
		'(--port)--port=[in place of the endpoint'\''s; AWS IoT has 8883 and 443]:PORT:' \
		'(--proxy)--proxy=[http://, https://, socks5:// or socks5h:// and \[USER:PASSWORD@\]HOST:PORT, or none. Without it HTTPS_PROXY, ALL_PROXY, NO_PROXY count, as with curl]:URL:' \
		'(--wait-for-clock)--wait-for-clock[connect when the clock is later than this program'\''s build, for boards whose clock starts in 1970]' \
		'(--check)--check[find out why it does not work, a line for each step on the way; subscribes, and takes no message]' \
		'(--trace)--trace=-[show each packet on stderr: brief, full, why, or hex for dissect]::STYLE:(brief full why hex)' \
		'(--trace-file)--trace-file=[write the trace here, over what was there]:FILE:_files' \
		'(--trace-times)--trace-times=[off: leave out when packets came]:WHEN:(on off)' \
		'(--trace-bytes)--trace-bytes=[shorten payloads that are longer]:N:' \
		'(--width)--width=[columns; $COLUMNS, or 80 to 100 by the terminal]:N:' \
		'(--show-secrets)--show-secrets[do not hide passwords in it]' \
		'(--page)--page=[write the illustrated connection, one HTML file]:FILE:_files' \
		'(--pcap)--pcap=[write the packets, without TLS, for Wireshark]:FILE:_files' \
		'(--keylog)--keylog=[append the secrets of TLS for Wireshark: for tests only]:FILE:_files' \
		'(-v --verbose)'{-v,--verbose}'[one line for each packet on stderr]' \
		'(--quiet)--quiet[errors only]' \
		'(--color)--color=[(NO_COLOR and TERM=dumb are honoured)]:auto|always|never:(auto always never)' \
		'(-h --help)'{-h,--help}'[this text]' \
		'(--version)--version[version and build]' \
		'(--completion)--completion=[print completions for bash, zsh or fish]:SHELL:(bash zsh fish)' \
		'(--man)--man[print the man page: subscriber --man | man -l -]'
}
if [ "$funcstack[1]" = _subscriber ]; then _subscriber "$@"; else compdef _subscriber subscriber; fi
