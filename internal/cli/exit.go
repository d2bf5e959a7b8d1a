package cli

// ExitCode is what a program leaves to its caller. The numbers are a promise to scripts.
type ExitCode int

// The exit codes of publisher and subscriber.
const (
	ExitDone  ExitCode = 0 // all messages acknowledged; subscriber: stopped as asked, by a signal, or by a closed pipe
	ExitLocal ExitCode = 1 // a file could not be read, standard output could not be written
	ExitUsage ExitCode = 2 // a mistake in options, topics or limits, found before anything was sent

	ExitNetwork    ExitCode = 3 // no connection: name, refused, unreachable, no answer in time
	ExitTLS        ExitCode = 4 // no TLS: the certificate files, or what the two sides think of each other's
	ExitHungUp     ExitCode = 5 // the server hung up in place of a CONNACK
	ExitLost       ExitCode = 6 // the connection was lost and not restored
	ExitUnanswered ExitCode = 7 // not all messages were acknowledged
	ExitRefused    ExitCode = 8 // SUBACK 0x80
	ExitProtocol   ExitCode = 9 // the server broke a rule of MQTT 3.1.1

	ExitConnack ExitCode = 10 // plus the CONNACK return code, 1 to 5

	ExitTooFew ExitCode = 20 // the time was over before enough messages came

	ExitInterrupted ExitCode = 130 // SIGINT before the work was done, or a second signal
	ExitTerminated  ExitCode = 143 // the same with SIGTERM
)
