package aws

import (
	"fmt"
	"time"

	"iotwire/internal/testbroker/policy"
)

// rereadInterval is how often the registry is looked at for the clients that are connected.
const rereadInterval = time.Second

// watch has the connected clients live by the registry as it is now, until the end.
func (c *Core) watch() {
	ticker := time.NewTicker(rereadInterval)
	defer ticker.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-ticker.C:
		}
		c.refresh()
		c.mu.Lock()
		clients := make([]*client, 0, len(c.live))
		for k := range c.live {
			clients = append(clients, k)
		}
		c.mu.Unlock()
		for _, k := range clients {
			if why := k.recheck(); why != nil {
				k.connection.Close(why)
			}
		}
	}
}

// refresh reads the registry again, and logs its mistakes.
func (c *Core) refresh() {
	for _, mistake := range c.registry.refresh() {
		e := Entry{TraceID: newTrace(), AccountID: policy.HomeOf().Account, EventType: "Registry", Protocol: "MQTT"}
		c.config.Log(e.fail(reasonClient, fmt.Sprintf("%v; what was read before stays", mistake)))
	}
}

// recheck returns why the client's connection has to end, if its certificate is no longer what it was.
func (k *client) recheck() error {
	k.mu.Lock()
	before := k.device
	k.mu.Unlock()
	now := k.core.registry.find(k.principal)
	if now == before {
		return nil
	}
	if now == nil {
		return &closing{authError, fmt.Sprintf("the certificate %s is no longer registered", k.principal)}
	}
	if now.status != active {
		return &closing{authError, fmt.Sprintf("the certificate %s is %s now", k.principal, now.status)}
	}
	k.place(now)
	if e, ok := k.authorizeConnect(); !ok {
		return &closing{authError, "the policies have changed: " + e.Details}
	}
	return nil
}
