package aws

import (
	"fmt"
	"maps"
	"slices"
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
		case <-c.ended:
			return
		case <-ticker.C:
		}
		c.mu.Lock()
		clients := slices.Collect(maps.Keys(c.live))
		c.mu.Unlock()
		if len(clients) == 0 {
			continue
		}
		c.refresh()
		now := time.Now()
		for _, k := range clients {
			if why := k.recheck(now); why != nil {
				k.connection.Close(why)
			}
		}
	}
}

// refresh reads the registry again, and logs its mistakes.
func (c *Core) refresh() {
	mistakes := c.registry.refresh()
	if c.authorizers != nil {
		if err := c.authorizers.refresh(); err != nil {
			mistakes = append(mistakes, err)
		}
	}
	for _, mistake := range mistakes {
		e := Entry{TraceID: newTrace(), AccountID: policy.HomeOf().Account, EventType: "Registry", Protocol: "MQTT"}
		c.config.Log(e.fail(reasonClient, fmt.Sprintf("%v; what was read before stays", mistake)))
	}
}

// recheck returns why the client's connection has to end, if its certificate is no longer what it was.
func (k *client) recheck(now time.Time) error {
	if k.authorization != nil {
		return k.recheckAuthorization(now)
	}
	k.mu.Lock()
	before := k.device
	k.mu.Unlock()
	found := k.core.registry.find(k.principal)
	if found == before {
		return nil
	}
	if found == nil || found.status != active {
		k.begin()
		what := "no longer registered"
		if found != nil {
			what = string(found.status) + " now"
		}
		return &closing{authError, k.entry("Disconnect").fail(reasonAuthorization, fmt.Sprintf("the certificate %s is %s", k.principal, what))}
	}
	return k.replace(found)
}

// replace has other policies count for the client, and returns why its connection has to end if they do not allow it.
func (k *client) replace(d *device) error {
	k.place(d)
	k.begin()
	if e, ok := k.authorizeConnect(); !ok {
		e.Details = "the policies have changed: " + e.Details
		return &closing{authError, e}
	}
	return nil
}
