package aws

import (
	"encoding/json"
	"strings"
	"time"
)

// event is the payload of a lifecycle event, in the order in which the developer guide shows its fields.
type event struct {
	ClientID             string   `json:"clientId"`
	Timestamp            int64    `json:"timestamp"` // milliseconds since 1970
	EventType            string   `json:"eventType"`
	ConnectFailureReason string   `json:"connectFailureReason,omitempty"`
	SessionIdentifier    string   `json:"sessionIdentifier"`
	PrincipalIdentifier  string   `json:"principalIdentifier"`
	ClientInitiated      *bool    `json:"clientInitiatedDisconnect,omitempty"`
	DisconnectReason     string   `json:"disconnectReason,omitempty"`
	IPAddress            string   `json:"ipAddress,omitempty"`
	Version              *int     `json:"versionNumber,omitempty"` // how often the client identifier has connected before
	Topics               []string `json:"topics,omitempty"`
}

// event returns the message on $aws/events/KIND/TYPE/CLIENT, or false: AWS has none for an identifier that would make a
// wildcard of its topic.
func (k *client) event(kind, eventType string, e event) (topic string, payload []byte, ok bool) {
	if strings.ContainsAny(k.id, "#+") {
		return "", nil, false
	}
	e.ClientID, e.EventType = k.id, eventType
	e.Timestamp = time.Now().UnixMilli()
	e.SessionIdentifier, e.PrincipalIdentifier = k.session, k.principal
	payload, err := json.Marshal(e)
	return eventsPrefix + kind + "/" + eventType + "/" + k.id, payload, err == nil
}

// announce publishes an event with the broker locked.
func (k *client) announce(kind, eventType string, e event) {
	if topic, payload, ok := k.event(kind, eventType, e); ok {
		k.core.Announce(topic, payload)
	}
}
