package mqtt

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var mutants = flag.Bool("mutants", false, "break the session in many ways, and see that the histories notice each")

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
	{"confirm at PUBREC", "session.go", "		f.at = s.now\n		s.release(f)\n", "		s.complete(f)\n		return true, nil\n"},
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
	{"may have been sent, forgotten", "journal.go", "		f.written = f.written || f.seq <= s.mark\n", "		f.written = false\n"},
}

// TestMutants checks the judge: each of the mistakes above has to be noticed by the histories. It takes minutes, so it
// runs with -mutants only.
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
			if n := strings.Count(string(good), m.old); n != 1 {
				t.Fatalf("%s has the text %d times, want once: %q", m.file, n, m.old)
			}
			defer os.WriteFile(path, good, 0o644)
			if err := os.WriteFile(path, []byte(strings.Replace(string(good), m.old, m.new, 1)), 0o644); err != nil {
				t.Fatal(err)
			}
			test := exec.Command("go", "test", "-vet=off", "-timeout=100s", "./mqtt",
				"-run=^(TestHistories|TestStored|TestMQTT_|TestSessionPresent)", "-rapid.checks=3000", "-rapid.nofailfile", "-rapid.shrinktime=1s")
			test.Dir = dir
			out, err := test.CombinedOutput()
			if err == nil {
				t.Fatal("nobody noticed")
			}
			if strings.Contains(string(out), "[build failed]") {
				t.Fatalf("the mistake does not compile:\n%s", out)
			}
		})
	}
}
