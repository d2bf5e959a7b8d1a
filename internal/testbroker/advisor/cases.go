package advisor

import "time"

// Case is one of Device Advisor's test cases.
type Case struct {
	ID      string // AWS's own
	Passing string // what the program has to do, in a line
	long    bool   // takes more than half a minute
	script  func(*bench) outcome
}

// Cases returns all cases, in the order of AWS's lists.
func Cases() []Case {
	return []Case{
		{"TLS_Connect", "completes the handshake", false, tlsConnect},
		{"TLS_Receive_Maximum_Size_Fragments", "receives 128 KiB in TLS records of 16 KiB", false, tlsFragments},
		{"TLS_Support_AWS_IoT_Cipher_Suites", "offers cipher suites that AWS recommends, and none that it lacks", false, tlsCipherSuites},
		{"TLS_Large_Size_Server_Cert", "takes a server certificate of 6 kB", false, tlsLargeCertificate},
		{"TLS_Unsecure_Server_Cert", "refuses a server that its CA did not sign", false, tlsUnsecure},
		{"TLS_Incorrect_Subject_Name_Server_Cert", "refuses the certificate of another server", false, tlsIncorrectName},
		{"TLS_Expired_Server_Cert", "refuses an expired certificate, with an alert", false, tlsExpired},
		{"MQTT_Connect", "sends a valid CONNECT", false, mqttConnect},
		{"MQTT_Client_Puback_QoS1", "answers a PUBLISH of QoS 1 with PUBACK", false, mqttPuback},
		{"MQTT_Connect_Jitter_Backoff_Retries", "no CONNACK, 5 times, twice: retries with jitter and back-off", true, connectJitter},
		{"MQTT_Connect_Exponential_Backoff_Retries", "no CONNACK, 6 times: retries with back-off", true, connectExponential},
		{"MQTT_Reconnect_Backoff_Retries_On_Server_Disconnect", "hung up on 6 times: jitter and back-off", true, reconnectDisconnect},
		{"MQTT_Reconnect_Backoff_Retries_On_Unstable_Connection", "lost 6 times after CONNACK: back-off goes on", true, reconnectUnstable},
		{"MQTT_Publish", "publishes with QoS 0", false, mqttPublish},
		{"MQTT_Publish_Retry_No_Puback", "no PUBACK: sends the PUBLISH again on the same connection", true, publishRetry},
		{"MQTT_Subscribe", "subscribes", false, mqttSubscribe},
		{"MQTT_Subscribe_Retry_No_Suback", "no SUBACK: sends the SUBSCRIBE again on the same connection", true, subscribeRetry},
		{"MQTT_No_Ack_PingResp", "no answers at all: disconnects soon after its keep alive time", true, noAnswers},
		{"MQTT_Persistent_Session_Happy_Case", "resumes its session without SUBSCRIBE, and acknowledges", true, sessionResumed},
		{"MQTT_Expired_Persistent_Session", "subscribes again when its session is gone", true, sessionExpired},
		{"MQTT_Long_Duration", "all of it in one run: lost answers, drops, a server that is away", true, longDuration},
	}
}

const (
	firstConnection = 20 * time.Second // until the program has started and connected
	idle            = 10 * time.Second // within this time a program does what it does
	prompt          = 10 * time.Second // to answer a packet
)
