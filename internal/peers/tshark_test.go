package peers

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// recordedSession has all fourteen types of packet, each field that a packet can have, and lengths of one and of two
// bytes. A line is who sent it, when, in milliseconds, and what.
var recordedSession = []string{
	"> 0 1034 00044d515454 04 ee 003c 0009746573742d70756232 0009746573742f77696c6c 0004676f6e65 000475736572 0006736563726574",
	"< 1 20020000",
	"> 2 8219 0007 0006746573742f23 02 0003612f2b 00 0005c3a42fc3bc 01",
	"< 30 9005000702 00 80",
	"> 31 350b 0006746573742f61 0001 07",
	"< 42 50020001",
	"> 43 62020001",
	"< 55 70020001",
	"< 60 320c 0006746573742f61 f00d ff00",
	"< 61 3a0c 0006746573742f61 f00d ff00",
	"> 62 4002f00d",
	"> 63 30cb02 0003 612f62 " + strings.Repeat("68656c6c6f20776f726c642021", 25) + "2e",
	"> 64 3103 0001 61",
	"< 65 31e303 0006746573742f61 " + strings.Repeat("00ff", 237) + "00",
	"> 70 a20f 0008 0006746573742f23 0003612f2b",
	"< 95 b0020008",
	"> 1000 c000",
	"< 1020 d000",
	"> 2000 e000",
}

// sentPacket is a line of recordedSession.
type sentPacket struct {
	fromServer bool
	ms         int
	bytes      []byte
}

func readRecorded(t *testing.T) (all []sentPacket) {
	t.Helper()
	for _, line := range recordedSession {
		words := strings.SplitN(line, " ", 3)
		b, err := hex.DecodeString(strings.ReplaceAll(words[2], " ", ""))
		ms, err2 := strconv.Atoi(words[1])
		if err != nil || err2 != nil {
			t.Fatalf("%s: %v, %v", line, err, err2)
		}
		all = append(all, sentPacket{words[0] == "<", ms, b})
	}
	return all
}

// capturing writes frames, one way or another.
type capturing struct {
	name   string
	header []byte
	frame  func(b []byte, ms int, data []byte) []byte
	link   func(fromServer bool, tcp []byte) []byte
}

// overIPv4 is what is in front of TCP on Ethernet with a VLAN tag.
func overIPv4(fromServer bool, tcp []byte) []byte {
	ends := [2]string{"\x7f\x00\x00\x01", "\x7f\x00\x00\x02"}
	if fromServer {
		ends[0], ends[1] = ends[1], ends[0]
	}
	b := []byte("\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x81\x00\x00\x05\x08\x00" + "\x45\x00ll\x00\x00\x00\x00\x40\x06\x00\x00" + ends[0] + ends[1])
	binary.BigEndian.PutUint16(b[20:], uint16(20+len(tcp)))
	return append(b, tcp...)
}

// overIPv6 is the same for IPv6 with two extension headers, without a link.
func overIPv6(fromServer bool, tcp []byte) []byte {
	const network = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	ends := [2]string{network + "\x01", network + "\x02"}
	if fromServer {
		ends[0], ends[1] = ends[1], ends[0]
	}
	b := []byte("\x60\x00\x00\x00ll\x00\x40" + ends[0] + ends[1] + "\x3c\x00\x01\x04\x00\x00\x00\x00" + "\x06\x00\x01\x04\x00\x00\x00\x00")
	binary.BigEndian.PutUint16(b[4:], uint16(16+len(tcp)))
	return append(b, tcp...)
}

var little = binary.LittleEndian

// captures are the two formats, with as much of what dissect has to get through as they can have.
var captures = []capturing{
	{"pcap", []byte("\xd4\xc3\xb2\xa1\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x00\x00\x01\x00\x00\x00"),
		func(b []byte, ms int, data []byte) []byte {
			for _, v := range []int{ms / 1000, ms % 1000 * 1000, len(data), len(data)} {
				b = little.AppendUint32(b, uint32(v))
			}
			return append(b, data...)
		}, overIPv4},
	{"pcapng", []byte("\x0a\x0d\x0d\x0a\x1c\x00\x00\x00\x4d\x3c\x2b\x1a\x01\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x1c\x00\x00\x00" +
		"\x01\x00\x00\x00\x14\x00\x00\x00\x65\x00\x00\x00\x00\x00\x00\x00\x14\x00\x00\x00"),
		func(b []byte, ms int, data []byte) []byte {
			padded := (len(data) + 3) &^ 3
			for _, v := range []int{6, 32 + padded, 0, 0, ms * 1000, len(data), len(data)} {
				b = little.AppendUint32(b, uint32(v))
			}
			b = append(append(b, data...), make([]byte, padded-len(data))...)
			return little.AppendUint32(b, uint32(32+padded))
		}, overIPv6},
}

// capture writes the packets into frames of at most 200 bytes, so that some packets take several, and has PINGREQ and
// DISCONNECT together in the last one of the client.
func (c capturing) capture(packets []sentPacket) []byte {
	b := c.header
	sequences := [2]uint32{1, 1}
	segment := func(p sentPacket, data []byte) {
		from, ports := 0, [2]uint16{50000, 1883}
		if p.fromServer {
			from, ports = 1, [2]uint16{1883, 50000}
		}
		var tcp []byte
		tcp = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(tcp, ports[0]), ports[1])
		tcp = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(tcp, sequences[from]), sequences[1-from])
		tcp = append(append(tcp, "\x50\x18\x20\x00\x00\x00\x00\x00"...), data...)
		sequences[from] += uint32(len(data))
		b = c.frame(b, p.ms, c.link(p.fromServer, tcp))
	}
	for i := 0; i < len(packets); i++ {
		data := packets[i].bytes
		if data[0] == 0x62 { // PUBREL, with the PUBCOMP that answers it behind
			segment(packets[i], data)
			continue
		}
		for len(data) > 200 {
			segment(packets[i], data[:200])
			data = data[200:]
		}
		if i+1 < len(packets) && packets[i+1].fromServer == packets[i].fromServer && len(data) < 20 {
			data = append(data[:len(data):len(data)], packets[i+1].bytes...)
			i++
		}
		segment(packets[i], data)
	}
	return b
}

// sharkField is a field in tshark's PDML.
type sharkField struct {
	Name   string       `xml:"name,attr"`
	Shown  string       `xml:"showname,attr"`
	Show   string       `xml:"show,attr"`
	Value  string       `xml:"value,attr"`
	Whole  string       `xml:"unmaskedvalue,attr"`
	At     int          `xml:"pos,attr"`
	Size   int          `xml:"size,attr"`
	Fields []sharkField `xml:"field"`
}

// sharkRead returns what tshark says of the packets in a capture, all fields of a packet in one list.
func sharkRead(t *testing.T, tshark, capture string) (packets [][]sharkField) {
	t.Helper()
	out, err := exec.Command(tshark, "-r", capture, "-d", "tcp.port==1883,mqtt", "-T", "pdml").Output()
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	var document struct {
		Packets []struct {
			Protocols []sharkField `xml:"proto"`
		} `xml:"packet"`
	}
	if err := xml.Unmarshal(out, &document); err != nil {
		t.Fatal(err)
	}
	for _, frame := range document.Packets {
		for _, p := range frame.Protocols {
			if p.Name != "mqtt" {
				continue
			}
			var all []sharkField
			var add func(fields []sharkField)
			add = func(fields []sharkField) {
				for _, f := range fields {
					f.At -= p.At
					inner := f.Fields
					f.Fields = nil
					all = append(all, f)
					add(inner)
				}
			}
			add(p.Fields)
			packets = append(packets, all)
		}
	}
	return packets
}

// row is a line of dissect's trace or of its page.
type row struct {
	at          int
	name, value string
}

// traceRows returns the lines of a trace of style full, by packet.
func traceRows(text string) (packets [][]row) {
	at := 0
	for line := range strings.Lines(text) {
		runes := []rune(strings.TrimRight(line, "\n"))
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.Contains(line, "──"):
			packets = append(packets, nil)
		case len(runes) < 44 || strings.TrimSpace(string(runes[21:44])) == "":
		case len(packets) > 0:
			if n, err := strconv.ParseInt(string(runes[:4]), 16, 0); err == nil {
				at = int(n)
			}
			last := &packets[len(packets)-1]
			*last = append(*last, row{at, strings.TrimSpace(string(runes[21:44])), string(runes[44:])})
		}
	}
	return packets
}

// pageRows returns the rows of the tables of a page, by packet.
func pageRows(text string) (packets [][]row) {
	at := 0
	for _, m := range regexp.MustCompile(`<tr class="[fvp]"[^>]*><td>(?:<a[^>]*>([0-9a-f]{4})</a>)?</td><td>.*?</td><th>(.*?)</th><td>(.*?)</td>`).FindAllStringSubmatch(text, -1) {
		if m[1] != "" {
			n, _ := strconv.ParseInt(m[1], 16, 0)
			at = int(n)
		}
		if m[2] == "Packet type" {
			packets = append(packets, nil)
		}
		if len(packets) > 0 {
			last := &packets[len(packets)-1]
			*last = append(*last, row{at, m[2], html.UnescapeString(m[3])})
		}
	}
	return packets
}

// ourField is a field in dissect's JSON.
type ourField struct {
	Off, Len, Mask int
	Name           string
	Value          any
}

// ourNames are the standard's words for what tshark calls by the words of MQTT 3.1.
var ourNames = map[string]string{
	"mqtt.msgtype": "Packet type", "mqtt.hdr_reserved": "Reserved flags", "mqtt.len": "Remaining Length",
	"mqtt.dupflag": "DUP", "mqtt.qos": "QoS", "mqtt.retain": "RETAIN",
	"mqtt.proto_len": "Protocol Name length", "mqtt.protoname": "Protocol Name", "mqtt.ver": "Protocol Level",
	"mqtt.conflag.uname": "User Name Flag", "mqtt.conflag.passwd": "Password Flag", "mqtt.conflag.retain": "Will Retain",
	"mqtt.conflag.qos": "Will QoS", "mqtt.conflag.willflag": "Will Flag", "mqtt.conflag.cleansess": "Clean Session",
	"mqtt.conflag.reserved": "Reserved", "mqtt.kalive": "Keep Alive",
	"mqtt.clientid_len": "Client Id length", "mqtt.clientid": "Client Identifier",
	"mqtt.willtopic_len": "Will Topic length", "mqtt.willtopic": "Will Topic",
	"mqtt.willmsg_len": "Will Message length", "mqtt.willmsg": "Will Message",
	"mqtt.username_len": "User Name length", "mqtt.username": "User Name",
	"mqtt.passwd_len": "Password length", "mqtt.passwd": "Password",
	"mqtt.conack.flags.reserved": "Reserved", "mqtt.conack.flags.sp": "Session Present", "mqtt.conack.val": "Return code",
	"mqtt.msgid": "Packet Identifier", "mqtt.msg": "Application Message", "mqtt.sub.qos": "Requested QoS", "mqtt.suback.qos": "Return code",
}

// aloud are the fields of tshark that are the bytes of other fields together.
var aloud = map[string]bool{"mqtt.hdrflags": true, "mqtt.conflags": true, "mqtt.conack.flags": true}

// ourName is the name of the field in a packet of this type, without its number.
func (f sharkField) ourName(packetType string) string {
	topic := "Topic Filter"
	if packetType == "PUBLISH" {
		topic = "Topic Name"
	}
	switch f.Name {
	case "mqtt.topic":
		return topic
	case "mqtt.topic_len":
		return topic + " length"
	}
	return ourNames[f.Name]
}

// mask is the bits that tshark draws for the field, "0001 ....", or all.
func (f sharkField) mask() int {
	if f.Name == "mqtt.sub.qos" {
		return 3 // it does not tell the reserved bits of this byte from the others
	}
	diagram, _, found := strings.Cut(f.Shown, " = ")
	if !found || f.Whole == "" {
		return 0xff
	}
	mask := 0
	for _, c := range strings.ReplaceAll(diagram, " ", "") {
		mask <<= 1
		if c != '.' {
			mask |= 1
		}
	}
	return mask
}

var ordinal = regexp.MustCompile(` \d+\b`)

// TestAgreesWithTshark has tshark and dissect read the same captures: of each field that tshark shows, dissect's JSON has
// the same place and value, and its trace and its page show them.
func TestAgreesWithTshark(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("tshark is not installed: apt-get install tshark")
	}
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", dir, "./cmd/dissect")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	packets := readRecorded(t)
	for _, c := range captures {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(dir, "session."+c.name)
			if err := os.WriteFile(file, c.capture(packets), 0o600); err != nil {
				t.Fatal(err)
			}
			read := func(format string) string {
				cmd := exec.Command(filepath.Join(dir, "dissect"), "--show-secrets", "--strict", "-f", format, file)
				cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "COLUMNS=400")
				out, err := cmd.Output()
				if err != nil {
					t.Fatalf("dissect -f %s: %v", format, err)
				}
				return string(out)
			}
			theirs := sharkRead(t, tshark, file)
			trace, page := traceRows(read("full")), pageRows(read("page"))
			objects := strings.Split(strings.TrimSpace(read("json")), "\n")
			if len(theirs) != len(packets) || len(objects) != len(packets) || len(trace) != len(packets) || len(page) < len(packets) {
				t.Fatalf("%d packets; tshark has %d, dissect %d, its trace %d, its page %d", len(packets), len(theirs), len(objects), len(trace), len(page))
			}
			types, compared := map[string]bool{}, 0
			// tshark shows packets in the order of the frames that complete them; so does dissect.
			for i, object := range objects {
				var our struct {
					Type, Hex string
					Fields    []ourField
				}
				if err := json.Unmarshal([]byte(object), &our); err != nil {
					t.Fatal(err)
				}
				types[our.Type] = true
				for _, f := range theirs[i] {
					where := fmt.Sprintf("packet %d, %s, byte %d, tshark's %s", i+1, our.Type, f.At, f.Shown)
					if f.Size == 0 {
						continue // tshark's words about other fields
					}
					if aloud[f.Name] {
						if got := our.Hex[2*f.At : 2*(f.At+f.Size)]; got != f.Value {
							t.Errorf("%s: the bytes are %s", where, got)
						}
						continue
					}
					name := f.ourName(our.Type)
					if name == "" {
						t.Errorf("%s: a field that dissect has no name for", where)
						continue
					}
					compared++
					same := f.compare(t, where, name, our.Fields)
					showsRow(t, where+", trace", name, same, trace[i])
					showsRow(t, where+", page", name, same, page[i])
				}
			}
			if len(types) != 14 || compared < 130 {
				t.Errorf("%d types of packet, %d fields", len(types), compared)
			}
		})
	}
}

// compare finds the field among ours, at the same place, and compares the values. It returns ours.
func (f sharkField) compare(t *testing.T, where, name string, ours []ourField) ourField {
	t.Helper()
	for _, our := range ours {
		if our.Off != f.At || our.Mask != f.mask() {
			continue
		}
		if our.Len != f.Size || ordinal.ReplaceAllString(our.Name, "") != name {
			t.Errorf("%s: dissect has %q of %d bytes", where, our.Name, our.Len)
		}
		text, bytes := fmt.Sprint(our.Value), f.bytes()
		switch our.Value.(type) {
		case float64:
			if text != f.number() {
				t.Errorf("%s: %s is %s", where, our.Name, text)
			}
		case string:
			if want, broken := string(bytes), "0x"+hex.EncodeToString(bytes); text != want && (utf8.Valid(bytes) || text != broken) {
				t.Errorf("%s: %s is %q", where, our.Name, text)
			}
		default:
			t.Errorf("%s: %s is %v", where, our.Name, our.Value)
		}
		return our
	}
	t.Errorf("%s: dissect has no field there", where)
	return ourField{}
}

// number is the value of a number in decimal. What tshark shows of Remaining Length is its meaning, not its bytes.
func (f sharkField) number() string {
	if n, err := strconv.ParseInt(f.Show, 0, 64); err == nil {
		return strconv.FormatInt(n, 10)
	}
	return f.Show
}

func (f sharkField) bytes() []byte {
	b, _ := hex.DecodeString(f.Value)
	return b
}

// showsRow fails unless one of rows has the field and its value.
func showsRow(t *testing.T, where, name string, our ourField, rows []row) {
	t.Helper()
	for _, r := range rows {
		if r.at != our.Off || r.name != our.Name {
			continue
		}
		value := strings.TrimSpace(r.value)
		switch v := our.Value.(type) {
		case float64:
			word, _, _ := strings.Cut(value, " ")
			n, err := strconv.ParseInt(word, 0, 64)
			if strings.HasPrefix(our.Name, "Reserved") {
				n, err = strconv.ParseInt(word, 2, 64)
			}
			if err != nil || n != int64(v) {
				t.Errorf("%s: it shows %q for %v", where, value, v)
			}
		case string:
			if shown, ok := shownText(value, v); !ok {
				t.Errorf("%s: it shows %s, which is %q, for %q", where, value, shown, v)
			}
		}
		return
	}
	t.Errorf("%s: no row %q at %d in %v", where, our.Name, our.Off, rows)
}

// shownText reads a text as a trace shows it: quoted, plain, or in hex, and shortened if it is long.
func shownText(value, want string) (text string, ok bool) {
	if quoted, err := strconv.QuotedPrefix(value); err == nil {
		text, _ = strconv.Unquote(quoted)
		return text, text == want || strings.HasPrefix(value[len(quoted):], "…") && len(text) > 40 && strings.HasPrefix(want, text)
	}
	text, _, _ = strings.Cut(value, " · ")
	text, short := strings.CutSuffix(text, "…")
	if digits, found := strings.CutPrefix(want, "0x"); found {
		text, want = strings.ReplaceAll(text, " ", ""), digits
	}
	return text, text == want || short && len(text) > 40 && strings.HasPrefix(want, text)
}
