package aws

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"
)

// Entry is a line of the log, as AWS IoT Core writes it to CloudWatch: for each CONNECT, each PUBLISH from and to a
// client, each topic filter of a SUBSCRIBE and an UNSUBSCRIBE, and each end of a connection. The last three fields are
// what AWS keeps to itself. What has no value is not in the JSON text. Two event types are not of AWS: Registry is about a
// file with a mistake, Log about lines that were lost.
type Entry struct {
	Timestamp        string `json:"timestamp"` // UTC, "2006-01-02 15:04:05.000"
	LogLevel         string `json:"logLevel"`  // INFO or ERROR
	TraceID          string `json:"traceId"`   // the same in the lines about one packet
	AccountID        string `json:"accountId"`
	Status           string `json:"status"`    // Success or Failure
	EventType        string `json:"eventType"` // Connect, Publish-In, Publish-Out, Subscribe, Unsubscribe, Disconnect; see below
	Protocol         string `json:"protocol"`  // MQTT
	TopicName        string `json:"topicName,omitempty"`
	ClientID         string `json:"clientId,omitempty"`
	PrincipalID      string `json:"principalId,omitempty"` // the certificate ID
	SourceIP         string `json:"sourceIp,omitempty"`
	SourcePort       int    `json:"sourcePort,omitempty"`
	Retain           bool   `json:"retain,omitempty"`
	Reason           string `json:"reason,omitempty"`  // of a failure: AUTHORIZATION_FAILURE, CLIENT_ERROR, THROTTLED
	Details          string `json:"details,omitempty"` // a sentence
	DisconnectReason string `json:"disconnectReason,omitempty"`

	Action     string          `json:"action,omitempty"`     // that was denied: iot:Publish
	Resource   string          `json:"resource,omitempty"`   // on which: an ARN
	WouldAllow json.RawMessage `json:"wouldAllow,omitempty"` // the smallest statement that would allow it
}

// The values of Entry.Reason.
const (
	reasonAuthorization = "AUTHORIZATION_FAILURE"
	reasonClient        = "CLIENT_ERROR"
	reasonThrottled     = "THROTTLED"
	reasonExpired       = "CUSTOMAUTH_TTL_EXPIRATION"
)

// String returns the line, without an end of line.
func (e Entry) String() string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(e); err != nil {
		return fmt.Sprintf("%q", err) // no value of an Entry does that
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

// Failed reports whether the line is about a refusal, or a connection that ended for a mistake.
func (e Entry) Failed() bool { return e.Status == "Failure" }

// succeed and fail set what depends on how it went.
func (e Entry) succeed() Entry {
	e.Timestamp, e.LogLevel, e.Status = timestamp(), "INFO", "Success"
	return e
}

func (e Entry) fail(reason, details string) Entry {
	e.Timestamp, e.LogLevel, e.Status, e.Reason, e.Details = timestamp(), "ERROR", "Failure", reason, details
	return e
}

func timestamp() string { return time.Now().UTC().Format("2006-01-02 15:04:05.000") }

// newTrace returns a trace ID, in the form of a UUID.
func newTrace() string {
	var b [16]byte
	rand.Read(b[:])
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
