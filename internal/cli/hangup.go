package cli

import (
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"iotwire/iot"
)

// hangups takes the SIGHUPs that a program gets that runs without a terminal: they mean that its files have changed. To a
// program with a terminal SIGHUP says that the terminal has gone, and ends it, as ever. On Windows none comes.
func hangups() <-chan os.Signal {
	for _, f := range []*os.File{os.Stdin, os.Stdout, os.Stderr} {
		if isTerminal(f) {
			return nil
		}
	}
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c
}

// renew makes each SIGHUP read the files of key, certificate and CA again, for the next connection of server. The present
// one goes on. If something is wrong with the new files, those that were read before stay in use.
func (o *connection) renew(server *iot.Config, target iot.Endpoint, hangup <-chan os.Signal, log *console) {
	if hangup == nil {
		return
	}
	current := new(atomic.Pointer[iot.Credentials])
	current.Store(server.Credentials)
	server.CurrentCredentials = current.Load
	check := *server
	check.CurrentCredentials = nil
	go func() {
		for range hangup {
			fresh, err := o.credentials(target)
			if err == nil {
				check.Credentials = fresh
				_, err = check.MQTT() // not every key is one for every server
			}
			if err != nil {
				log.warn("SIGHUP: %v; what was read before stays in use", err)
				continue
			}
			for _, warning := range fresh.Warnings {
				log.warn("%s", warning)
			}
			current.Store(fresh)
			what := "the CA of " + fresh.CAFile
			if fresh.CertificateID != "" {
				what = fresh.CertificateFile + ", certificate id " + fresh.CertificateID
			}
			log.warn("SIGHUP: the next connection uses %s", what)
		}
	}()
}
