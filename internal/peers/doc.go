// Package peers tests iotwire against programs that others wrote, over sockets of this machine. It is all tests, in a
// module of its own, so that iotwire itself requires none of them. The map:
//
//	broker_test.go             a broker to test against, and the list of them
//	mosquitto_test.go          mosquitto, as a process; mochi_test.go, nats_test.go, iotwire_test.go: in this process
//	line_test.go               the network between a client and its broker: it can be cut, and its packets are counted
//	client_test.go             a running client of package mqtt, and the messages that it gets
//	clientwithbroker_test.go   TestClientWithBroker: every scenario with every broker, plain and over mutual TLS
//	delivery_test.go           its scenarios of QoS, sizes, order and broken connections; and so on for
//	session_test.go, retained_test.go, will_test.go, subscription_test.go, access_test.go
//	paho_test.go               TestPahoWithBroker: paho.mqtt.golang as a client of our broker
//	mosquittoclients_test.go   TestMosquittoClientsWithBroker: mosquitto_pub and mosquitto_sub as clients of our broker
//	programs_test.go           TestProgramsWithBroker: the programs publisher and subscriber with every broker
//	formats_test.go            TestFormatsAreThoseOfMosquitto: what subscriber -F prints, beside mosquitto_sub
//	proxy_test.go              TestProxies: tinyproxy and microsocks between our client and our broker
//	websocket_test.go          TestWebSocket, and an example of a Dial that speaks it
//	bench                      go run ./bench: package mqtt beside the bare socket and other clients; see BENCHMARKS.md
//	advisor_test.go            TestAdvisor: testbroker advisor with our programs, mosquitto's, and a device with flaws
//
// mosquitto, mosquitto_pub, mosquitto_sub and mosquitto_passwd are those of the Debian packages mosquitto and
// mosquitto-clients. Where they are not installed, their tests are skipped, or fail if the environment says CI=true.
package peers
