package peers

import (
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"iotwire/mqtt"
)

// TestClientsOnTheDesk has paho.mqtt.golang, the mosquitto clients, our client and our programs use testbroker --aws over
// mutual TLS. What the policy denies, the log explains, and to the client it is the end of the connection.
func TestClientsOnTheDesk(t *testing.T) {
	t.Parallel()
	d := startDesk(t)
	for _, s := range []struct {
		name string
		run  func(*testing.T, *desk)
	}{
		{"paho", deskPaho},
		{"mosquitto", deskMosquitto},
		{"client", deskClient},
		{"programs", deskPrograms},
		{"rate", deskRate},
	} {
		t.Run(s.name, func(t *testing.T) { s.run(t, d) })
	}
}

// deskMessages returns a message that the policy lets through to a subscriber, and one that it holds back.
func deskMessages() (open, closed mqtt.Message) {
	return mqtt.Message{Topic: fresh("desk/open/"), Payload: []byte("you may"), QoS: mqtt.QoS1},
		mqtt.Message{Topic: fresh("desk/closed/"), Payload: []byte("you may not"), QoS: mqtt.QoS1}
}

func deskPaho(t *testing.T, d *desk) {
	once := func(o *paho.ClientOptions) {
		o.SetClientID(fresh("desk-paho-")).SetAutoReconnect(false).SetConnectRetry(false)
	}
	open, closed := deskMessages()
	c := d.connectPaho(t, once)
	in := c.subscribe("desk/#", mqtt.QoS1)
	c.publish(closed, open)
	in.want(open)
	d.wantDenial(t, "Publish-Out", "iot:Receive", "topic/"+closed.Topic)

	other := fresh("other/")
	c.Publish(other, 1, false, "x")
	c.awaitLost()
	d.wantDenial(t, "Publish-In", "iot:Publish", "topic/"+other)

	c = d.connectPaho(t, once)
	c.Subscribe(other+"/#", 1, nil)
	c.awaitLost()
	d.wantDenial(t, "Subscribe", "iot:Subscribe", "topicfilter/"+other+"/#")

	c = d.newPaho(t, func(o *paho.ClientOptions) { once(o); o.SetClientID("paho") })
	if token := c.Connect(); !token.WaitTimeout(patience) || token.Error() == nil {
		t.Errorf("CONNECT as paho: %v, want an error", token.Error())
	}
	d.wantDenial(t, "Connect", "iot:Connect", "client/paho")
}

func deskMosquitto(t *testing.T, d *desk) {
	open, closed := deskMessages()
	in := d.mosquittoSub(t, "-i", "desk-mosquitto-sub", "-t", "desk/#", "-q", "1")
	d.mosquittoPub(t, nil, "-i", fresh("desk-mosquitto-"), "-q", "1", "-t", closed.Topic, "-m", string(closed.Payload))
	d.mosquittoPub(t, nil, "-i", fresh("desk-mosquitto-"), "-q", "1", "-t", open.Topic, "-m", string(open.Payload))
	in.want(open)
	d.wantDenial(t, "Publish-Out", "iot:Receive", "topic/"+closed.Topic)

	fails := func(program string, args ...string) {
		t.Helper()
		cmd := d.mosquittoCommand(t, program, args...)
		out := newJournal(t, program)
		cmd.Stdout, cmd.Stderr = out, out
		if code := startProcess(t, cmd).wait(t); code == 0 {
			t.Errorf("%s %q succeeds", program, args)
		}
	}
	other := fresh("other/")
	fails("mosquitto_pub", "-i", fresh("desk-mosquitto-"), "-q", "1", "-t", other, "-m", "x")
	d.wantDenial(t, "Publish-In", "iot:Publish", "topic/"+other)
	fails("mosquitto_pub", "-i", "mosquitto", "-q", "1", "-t", open.Topic, "-m", "x")
	d.wantDenial(t, "Connect", "iot:Connect", "client/mosquitto")
	fails("mosquitto_sub", "-i", fresh("desk-mosquitto-"), "-t", other+"/#", "-W", "1") // it tries again and again
	d.wantDenial(t, "Subscribe", "iot:Subscribe", "topicfilter/"+other+"/#")
}

func deskClient(t *testing.T, d *desk) {
	open, closed := deskMessages()
	c := d.connect(t, func(c *mqtt.Config) { c.ClientID = fresh("desk-client-") })
	in := c.subscribe("desk/#", mqtt.QoS1)
	c.publish(closed)
	c.publish(open)
	in.want(open)
	d.wantDenial(t, "Publish-Out", "iot:Receive", "topic/"+closed.Topic)
}

func deskPrograms(t *testing.T, d *desk) {
	open, closed := deskMessages()
	id := func() string { return fresh("desk-programs-") }
	subscriber := d.programs.subscribe(t, d.broker, "--aws", "--client-id", id(), "-t", "desk/#", "-n", "1")
	d.programs.publish(t, d.broker, nil, "--aws", "--client-id", id(), "-t", closed.Topic, "-m", string(closed.Payload))
	d.programs.publish(t, d.broker, nil, "--aws", "--client-id", id(), "-t", open.Topic, "-m", string(open.Payload))
	subscriber.wantExit(0)
	subscriber.wantOutput(string(open.Payload))
	d.wantDenial(t, "Publish-Out", "iot:Receive", "topic/"+closed.Topic)

	other := fresh("other/")
	for _, test := range []struct {
		program, id, topic      string
		event, action, resource string
	}{
		{"publisher", id(), other, "Publish-In", "iot:Publish", "topic/" + other},
		{"publisher", "stranger", "desk/x", "Connect", "iot:Connect", "client/stranger"},
		{"subscriber", id(), other + "/#", "Subscribe", "iot:Subscribe", "topicfilter/" + other + "/#"},
	} {
		args := []string{"--aws", "--client-id", test.id, "-t", test.topic, "--timeout", "2s"}
		if test.program == "publisher" {
			args = append(args, "-m", "x")
		}
		r := d.programs.start(t, d.broker, test.program, nil, args...)
		if code := r.wait(t); code == 0 {
			t.Errorf("%s succeeds, though %s is denied", test.program, test.action)
		}
		d.wantDenial(t, test.event, test.action, test.resource)
		if said := strings.Join(r.err.lines(), "\n"); !strings.Contains(said, test.action) || !strings.Contains(said, ":"+test.resource) {
			t.Errorf("%s says\n%s\nwant %s on %s in it", test.program, said, test.action, test.resource)
		}
	}

	// Somebody allows it in the editor, and tries again.
	d.writePolicy(strings.Replace(deskPolicy, "topic/desk/*", "topic/*", 1))
	d.programs.publish(t, d.broker, nil, "--aws", "--client-id", id(), "-t", other, "-m", "x")
}

// deskRate has paho publish faster than AWS takes it: what is too much is not acknowledged.
func deskRate(t *testing.T, d *desk) {
	c := d.connectPaho(t, func(o *paho.ClientOptions) { o.SetClientID(fresh("desk-paho-")).SetAutoReconnect(false) })
	const total = 1000
	tokens := make([]paho.Token, total)
	for i := range tokens {
		tokens[i] = c.Publish("desk/open/x", 1, false, "x")
	}
	if !d.log.await("more than 100 messages in a second from this client", d.process.ended) {
		t.Fatal("nothing is discarded, or the log does not say why")
	}
	time.Sleep(time.Second) // paho waits for PUBACKs that do not come, so nobody can wait for paho
	acknowledged := 0
	for _, token := range tokens {
		select {
		case <-token.Done():
			acknowledged++
		default:
		}
	}
	if acknowledged < 100 || acknowledged == total {
		t.Errorf("%d of %d messages are acknowledged, want 100 and those for which there was time", acknowledged, total)
	}
}
