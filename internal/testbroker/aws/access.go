package aws

import (
	"encoding/json"
	"maps"
	"strconv"
	"time"

	"iotwire/internal/testbroker/policy"
)

// decide asks the policies of the client's certificate. extra is what only this request has.
func (c *client) decide(action policy.Action, resource string, extra policy.Context) policy.Decision {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	context := maps.Clone(c.context)
	maps.Copy(context, extra)
	context["aws:CurrentTime"] = []string{now.UTC().Format(time.RFC3339)}
	context["aws:EpochTime"] = []string{strconv.FormatInt(now.Unix(), 10)}
	return policy.Evaluate(c.device.policies, policy.Request{
		Action:   action,
		Resource: c.device.home.ARN(resource),
		Context:  context,
	})
}

// denied is e with everything that AWS does not say about a denial.
func (c *client) denied(e Entry, action policy.Action, resource string, d policy.Decision) Entry {
	e = e.fail(reasonAuthorization, d.Reason())
	e.Action, e.Resource = action.String(), c.arn(resource)
	if suggestion := d.Suggestion(); suggestion != "" {
		e.WouldAllow = json.RawMessage(suggestion)
	}
	return e
}

func (c *client) arn(resource string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.device.home.ARN(resource)
}

// closing is the error that ends a client's connection.
type closing struct {
	reason string // as $aws/events and the log name it: AUTH_ERROR, CLIENT_ERROR
	line   Entry  // the log line that says why
}

func (c *closing) Error() string { return c.line.Details }

// The reasons why AWS says that a connection ended, and whether the will was sent then.
const (
	authError       = "AUTH_ERROR"
	clientError     = "CLIENT_ERROR"
	clientInitiated = "CLIENT_INITIATED_DISCONNECT"
	connectionLost  = "CONNECTION_LOST"
	duplicateID     = "DUPLICATE_CLIENTID"
	keepAliveRanOut = "MQTT_KEEP_ALIVE_TIMEOUT"
	serverInitiated = "SERVER_INITIATED_DISCONNECT"

	authorizationOver = "CUSTOMAUTH_TTL_EXPIRATION"
)
