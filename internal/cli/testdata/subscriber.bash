# bash completion of subscriber: source <(subscriber --completion bash)
_subscriber() {
	local word=$2 option=$3 line
	if [ "${COMP_WORDS[COMP_CWORD]}" = = ]; then
		word=
	elif [ "$option" = = ]; then
		option=${COMP_WORDS[COMP_CWORD-2]}
	else
		case $option in none|--trace) option= ;; esac
	fi
	case $option in
	-e|--endpoint) return ;;
	-p|--client-prefix) return ;;
	-t|--topic) return ;;
	-C|--cert-dir) set -- -d ;;
	-F|--format) set -- -W 'pretty json raw text hex base64' ;;
	--exclude) return ;;
	-n|--count) return ;;
	-W|--wait) return ;;
	-q|--qos) set -- -W '0 1 2' ;;
	-k|--keep-alive) return ;;
	--timeout) return ;;
	--client-id) return ;;
	--store) set -- -d ;;
	--will-topic) return ;;
	--will-message) return ;;
	--will-qos) set -- -W '0 1 2' ;;
	--ca) set -- -f ;;
	--cert) set -- -f ;;
	--key) set -- -f ;;
	--username) return ;;
	--password-file) set -- -f ;;
	--authorizer) return ;;
	--token-key) return ;;
	--token-file) set -- -f ;;
	--signature-file) set -- -f ;;
	--port) return ;;
	--proxy) return ;;
	--trace) set -- -W 'brief full why hex' ;;
	--trace-file) set -- -f ;;
	--trace-times) set -- -W 'on off' ;;
	--trace-bytes) return ;;
	--width) return ;;
	--page) set -- -f ;;
	--pcap) set -- -f ;;
	--keylog) set -- -f ;;
	--color) set -- -W 'auto always never' ;;
	--completion) set -- -W 'bash zsh fish' ;;
	*) set -- -W '-e --endpoint -p --client-prefix -t --topic -C --cert-dir -F --format --json --exclude -R --no-retained -n --count -W --wait --no-reconnect -q --qos -k --keep-alive --timeout --client-id --persistent --store --will-topic --will-message --will-qos --will-retain --ca --cert --key --aws --alpn --username --password-file --authorizer --token-key --token-file --signature-file --port --proxy --wait-for-clock --check --trace --trace-file --trace-times --trace-bytes --width --show-secrets --page --pcap --keylog -v --verbose --quiet --color -h --help --version --completion --man' ;;
	esac
	[ "$1" = -W ] || compopt -o filenames 2>/dev/null
	COMPREPLY=()
	while IFS= read -r line; do
		COMPREPLY+=("$line")
	done < <(compgen "$@" -- "$word")
}
complete -F _subscriber subscriber
