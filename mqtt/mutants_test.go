package mqtt

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var mutants = flag.Bool("mutants", false, "break the session in many ways, and see that the tests notice each")

// mutant is a deliberate mistake: in file, the text old becomes new.
type mutant struct{ name, file, old, new string }

var sessionMutants = []mutant{
	{"acknowledge before the handler", "arrival.go", "if w.a != nil && !w.a.acked {", "if false {"},
	{"never acknowledge out of turn", "arrival.go", "	a.acked = true\n	if a.owed > 0 {", "	a.acked = true\n	if false {"},
	{"forget the QoS 2 identifier", "arrival.go", "	s.received[id] = receipt{sum, s.conn}\n", ""},
	{"deliver a QoS 2 repetition", "arrival.go", "	case qos == QoS2 && r.sum == sum && ", "	case qos == QoS0 && "},
	{"keep the inbound set on session present 0", "arrival.go", "	for id := range s.received {\n		s.unreceive(id)\n	}\n", ""},
	{"PUBCOMP keeps the identifier", "arrival.go", "		delete(s.received, id)\n		s.remove", "		s.remove"},
	{"deliver again what is not yet acknowledged", "arrival.go", "		if same {", "		if same && false {"},
	{"forget owed answers of repetitions", "arrival.go", "			a.owed++\n			s.owe(answer{id, qos, sum, a, a.owed > 1})\n", ""},
	{"PUBLISH after PUBREL", "session.go", "	for f := s.released.head; f != nil; f = f.next {\n		f.conn", "	for f := s.released.head; f != nil; f = f.next {\n		s.send(f)\n		f.conn"},
	{"DUP never set", "session.go", "		f.packet[0] |= dup", "		f.packet[0] |= 0"},
	{"DUP always set", "session.go", "	f.packet[0] &^= dup", "	f.packet[0] |= dup"},
	{"resend nothing", "session.go", "	if !s.probing {\n		for f := s.sent.head", "	if false {\n		for f := s.sent.head"},
	{"resend in reverse", "session.go", "		for f := s.sent.head; f != nil; f = f.next {\n			s.send(f)", "		for f := s.sent.tail; f != nil; f = f.prev {\n			s.send(f)"},
	{"resend no PUBREL", "session.go", "		s.out, _ = packet.AppendPubrel(s.out, &packet.Pubrel{ID: f.id})\n	}\n	if !s.probing", "	}\n	if !s.probing"},
	{"confirm at PUBREC", "session.go", "		f.at, f.releases = s.now, 1\n		s.release(f)\n", "		s.complete(f)\n		return true, nil\n"},
	{"success when the connection is lost", "session.go", "			suspect = f\n", "			suspect = f\n			defer s.finish(f, nil)\n"},
	{"QoS 2 again after session present 0", "session.go", "if f.written && f.qos == QoS2 {", "if false {"},
	{"drop QoS 1 on session present 0", "session.go", "		s.bytes += f.size\n		s.queue.pushFront(f)", "		s.bytes += f.size\n		if f.qos == QoS1 {\n			s.abandon(f, ErrSessionLost)\n			continue\n		}\n		s.queue.pushFront(f)"},
	{"order lost on session present 0", "session.go", "		s.queue.pushFront(f)", "		s.queue.push(f)"},
	{"an identifier used twice", "session.go", "if s.lastID != 0 && s.flows.get(s.lastID) == nil", "if s.lastID = 1 + s.lastID%3; s.lastID != 0"},
	{"no window", "session.go", "s.sent.n+s.released.n < window", "s.sent.n+s.released.n < window+3"},
	{"subscribe always", "wish.go", "	if !present {\n		for _, w := range s.wishes {\n			w.has, w.refused", "	if true {\n		for _, w := range s.wishes {\n			w.has, w.refused"},
	{"subscribe never again", "wish.go", "	if !present {\n		for _, w := range s.wishes {\n			w.has, w.refused", "	if false {\n		for _, w := range s.wishes {\n			w.has, w.refused"},
	{"SUBSCRIBE lost with its connection", "wish.go", "			w.has, w.hasQoS = true, unsure\n", "			w.has, w.hasQoS = true, 2\n"},
	{"PUBREL before its record", "session.go", "		s.release(f)\n", "		defer s.release(f)\n"},
	{"no record of PUBREC", "journal.go", "		s.put(Key{kindReleased, pair(f.seq, f.id)})\n", ""},
	{"nothing is held for the disk", "journal.go", "func (j *journal) holds() bool { return ", "func (j *journal) holds() bool { return false }\nfunc (j *journal) _() bool { return "},
	{"accepted before it is stored", "publish.go", "		err := <-stored ", "		err := error(nil) "},
	{"message not stored", "journal.go", "	return Record{Key{kindMessage, f.seq}, ", "	return Record{Key{99, f.seq}, "},
	{"CONNECT before it is noted", "journal.go", "	s.put(Key{kindConnecting, 0})\n", ""},
	{"no doubt after a lost CONNACK", "journal.go", "	if s.asked {\n", "	if false {\n"},
	{"a commit of an earlier connection", "commit.go", "held && s.conn == conn", "held && s.conn+conn > 0"},
	{"UNSUBSCRIBE before it is noted", "journal.go", "		w.known = false\n		s.remove(", "		w.known = false\n		s.removeLater("},
	{"PUBRECs without an order of their own", "journal.go", "		s.seq++\n		f.seq = s.seq\n		s.put(Key{kindReleased", "		s.put(Key{kindReleased"},
	{"the order of PUBRECs begins again", "journal.go", "		s.seq = max(s.seq, r.Key.N>>16)\n", ""},
	{"PUBREL again without bound", "session.go", "		f.releases++\n", ""},
	{"the answers to a repeated PUBREL are not awaited", "session.go", "		f.copies++\n		f.releases++\n", "		f.releases++\n"},
	{"a second PUBREC is no copy", "session.go", "		f.copies = max(f.copies, 2)\n", ""},
	{"no quarantine", "session.go", "	if f.conn == s.conn && f.copies > 1 {\n", "	if false {\n"},
	{"two suspects at a time", "session.go", "		window = 1\n", "		window = 2\n"},
	{"the last of several is blamed", "session.go", "		if n > 1 {\n			return\n		}\n", ""},
	{"PUBCOMP before the identifier is free", "arrival.go", "		s.remove(Key{kindReceived", "		s.removeLater(Key{kindReceived"},
	{"doubt changes nothing", "arrival.go", "(dup || !s.doubt)", "true"},
	{"received, and not stored", "arrival.go", "		s.put(Key{kindReceived, pair(uint64(sum), id)})\n", ""},
	{"a failed delete is ignored", "commit.go", "			err = store.Delete(deletes...)", "			store.Delete(deletes...)"},
	{"a refused CONNECT leaves doubt", "connect.go", "		c.session.asked = false // no session was begun\n", ""},
	{"free the identifier on time-out", "publish.go", "		f.owned = false // nobody", "		c.session.flows.delete(f.id)\n		f.owned = false // nobody"},
	{"DUP after the session was lost", "session.go", "		f.written = false // [MQTT-4.3.2-1]", "		// [MQTT-4.3.2-1]"},
	{"the identifier of a rejected message is used again", "journal.go", "	s.givenUp[id] = true\n	s.put(", "	s.put("},
	{"and after a restart", "journal.go", "	case kindGivenUp:\n		s.givenUp[id] = true\n", "	case kindGivenUp:\n"},
	{"no directory sync", "filestore/rewrite.go", "s.system.syncDir(s.dir)", "error(nil)"},
	{"no directory sync for a new file", "filestore/load.go", "s.system.syncDir(s.dir)", "error(nil)"},
	{"UNSUBSCRIBE never", "wish.go", "	return !w.has || w.foreign", "	return true"},
	{"UNSUBSCRIBE of what another wishes", "subscription.go", "			if len(w.subs) == 0 {\n				w.wanted = false", "			if true {\n				w.wanted = false"},
	{"Close before UNSUBACK", "subscription.go", "			if !w.wanted && (w.has || w.busy) {\n", "			if w == nil {\n"},
	{"Close leaves what waits unanswered", "subscription.go", "				c.session.acknowledge(e.arrival) // nobody else will\n", "				_ = e // nobody else will\n"},
	{"Close keeps the room of what waited", "subscription.go", "		c.routing.bytes -= s.inbox.cost()\n", ""},
	{"messages to a closed Subscription", "subscription.go", "	c.routing.forget()\n", ""},
	{"acknowledge when one of two is done", "receive.go", "		a.parts = len(to.subs)\n", "		a.parts = 1\n"},
	{"clean session never asked for", "connect.go", "CleanSession: c.cfg.CleanSession,", "CleanSession: false,"},
	{"the first suspect is guilty", "session.go", "f.deaths >= s.attempts", "f.deaths >= 1"},
	{"nobody is guilty", "session.go", "f.deaths >= s.attempts", "false"},
	{"suspects never alone", "session.go", "		s.probing = s.probing || s.deaths >= 2", "		s.probing = false"},
	{"QoS 0 is not sent that may have been", "stream.go", "	case end > t.offered:", "	case end > t.written:"},
	{"QoS 0 is delivered when it is offered", "session.go", "	s.offered += uint64(n)\n", "	s.offered += uint64(n)\n	s.wrote(s.offered)\n"},
	{"the end of a connection is not told", "stream.go", "(t.ended || t.waiters", "(t.waiters"},
	{"may have been sent, forgotten", "journal.go", "		f.written = f.written || f.seq <= s.mark\n", "		f.written = false\n"},
	{"Resend counts from an earlier time", "publish.go", "	c.tellTime()\n", ""},
	{"and from before a message was stored", "commit.go", "		c.tellTime()\n", ""},
	{"the next connection does not wait for the last write", "link.go", "	l.writer.Wait()\n", ""},
	{"a connection that has ended waits for the end of Run", "client.go", "	l.unwatch()\n", ""},
	{"the clock of a connection runs on", "link.go", "	l.clock.Stop()\n", ""},
	{"a second farewell", "link.go", "	if l.stopped.Swap(true) {\n", "	if l.stopped.Swap(true) && false {\n"},
	{"the end of Run is a loss", "link.go", "	l.writer.Wait()\n	if l.stopping() {\n", "	l.writer.Wait()\n	if false {\n"},
	{"the end of a pause is not told", "receive.go", "		l.ping = now\n	}\n	l.flush()\n", "		l.ping = now\n	}\n"},
	{"Shutdown between two waits is missed", "client.go", "	if c.ending {\n", "	if false {\n"},
	{"QoS 0 that was lost keeps its room", "session.go", "	s.failed += messages\n	s.bytes -= bytes\n", "	s.failed += messages\n	_ = bytes\n"},
	{"QoS 0 that was offered is unsent", "publish.go", "d.mark > d.c.session.offered", "d.mark >= d.c.session.offered"},
	{"QoS 0 does not pass the word on", "publish.go", "	if c.room.first != nil {\n		c.room.offer(c)\n	}\n", ""},
	{"QoS 0 beside a full inbox", "publish.go", "	c.readOn()\n	// What", "	// What"},
}

// The code changes, and a mistake that cannot be made any more would be noticed by nobody.
func TestEachMutantIsAMistakeThatCanBeMade(t *testing.T) {
	for _, m := range sessionMutants {
		code, err := os.ReadFile(filepath.FromSlash(m.file))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(code), m.old); n != 1 {
			t.Errorf("%s: %s has the text %d times, want once: %q", m.name, m.file, n, m.old)
		}
	}
}

// TestMutants checks the tests: each of the mistakes above has to be noticed, by the random histories if they can, else
// by a test of that one rule. It says by which. It takes minutes, so it runs with -mutants only.
func TestMutants(t *testing.T) {
	if !*mutants {
		t.Skip("takes minutes: run with -mutants")
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("..")); err != nil {
		t.Fatal(err)
	}
	for _, m := range sessionMutants {
		t.Run(m.name, func(t *testing.T) {
			path := filepath.Join(dir, "mqtt", m.file)
			good, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			defer os.WriteFile(path, good, 0o644)
			if err := os.WriteFile(path, []byte(strings.Replace(string(good), m.old, m.new, 1)), 0o644); err != nil {
				t.Fatal(err)
			}
			for _, tests := range [][]string{
				{"-run=^(TestHistories|TestSession)$", "-rapid.checks=1500", "-rapid.nofailfile", "-rapid.shrinktime=1ms"},
				{"-skip=^(TestHistories|TestSession|TestMutants|TestEachMutant.*|TestConformance|TestKilled.*|TestSoak|TestYear|TestCut.*|TestHostile.*|TestEveryNth.*|TestOneByte.*)$"},
				// Rare, so that no 1500 histories in a row need have it.
				{"-run=^(TestHistories|TestSession)$", "-rapid.checks=10000", "-rapid.nofailfile", "-rapid.shrinktime=1ms", "-timeout=3m"},
			} {
				if pkg := filepath.Dir(m.file); pkg != "." && tests[0][:4] == "-run" {
					continue // there are no histories
				}
				by, broken := noticed(dir, "./"+filepath.ToSlash(filepath.Join("mqtt", filepath.Dir(m.file))), tests)
				if broken != "" {
					t.Fatal(broken)
				}
				if by != "" {
					t.Log("noticed by", by)
					return
				}
			}
			t.Fatal("nobody noticed")
		})
	}
}

// noticed runs tests of a package, and returns which of them failed, or why they could not run.
func noticed(dir, pkg string, tests []string) (by, broken string) {
	test := exec.Command("go", append([]string{"test", "-vet=off", "-failfast", "-timeout=60s", pkg}, tests...)...)
	test.Dir = dir
	out, err := test.CombinedOutput()
	if err == nil {
		return "", ""
	}
	if strings.Contains(string(out), "[build failed]") || strings.Contains(string(out), "[setup failed]") {
		return "", fmt.Sprintf("the mistake does not compile:\n%s", out)
	}
	for line := range strings.Lines(string(out)) {
		if name, ok := strings.CutPrefix(line, "--- FAIL: "); ok {
			return strings.Fields(name)[0], ""
		}
		if strings.HasPrefix(line, "panic: ") {
			by = "a " + strings.TrimSpace(line)
		}
	}
	if by == "" {
		broken = fmt.Sprintf("the tests failed without a word:\n%s", out)
	}
	return by, broken
}
