package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"iotwire/internal/cli"
	"iotwire/internal/testbroker/aws"
	"iotwire/internal/testbroker/policy"
)

// The exit codes of eval. A mistake in the use or in a document is cli.ExitUsage.
const (
	exitAllow cli.ExitCode = 0
	exitDeny  cli.ExitCode = 1
)

// evalOptions are those of testbroker eval, which decides about one request by AWS IoT policies, without a broker.
type evalOptions struct {
	policies         []string
	action, resource string
	clientID, thing  string
	attached         bool
	values           []string
}

func (o *evalOptions) table() *cli.Table {
	return &cli.Table{
		Program: "testbroker eval",
		Summary: "would AWS IoT Core allow it, and why?",
		Usage:   "--policy FILE --action ACTION --resource RESOURCE [options]",
		Examples: []string{
			"testbroker eval --policy p --action iot:Publish --resource topic/a/b",
			"testbroker eval --policy p --action iot:Connect --resource client/t --attached",
			"testbroker eval --policy p --action iot:Subscribe --resource 'topicfilter/a/#'",
		},
		Groups: []cli.Group{{Title: "Options", Options: []cli.Option{
			{Name: "policy", Metavar: "FILE", Value: &o.policies,
				Help: "a policy document, - for standard input; can be given again: all policies of the certificate"},
			{Name: "action", Metavar: "ACTION", Value: &o.action,
				Help: "iot:Connect, iot:Publish, iot:Subscribe, iot:Receive, iot:RetainPublish and so on"},
			{Name: "resource", Metavar: "RESOURCE", Value: &o.resource,
				Help: "client/ID, topic/NAME or topicfilter/FILTER, as the action needs it, or an ARN"},
			{Name: "client-id", Metavar: "ID", Value: &o.clientID,
				Help: "the client identifier; without it the one that connects, else the name of the attached thing"},
			{Name: "thing", Metavar: "NAME", Value: &o.thing,
				Help: "the thing; its variables have values only with --attached, and if it is named like the client"},
			{Name: "attached", Value: &o.attached,
				Help: "the thing is attached to the certificate; without --thing it is one that is named like the client"},
			{Name: "var", Metavar: "KEY=VALUE", Value: &o.values,
				Help: "the value of a variable or condition key such as aws:SourceIp; given again for a KEY it adds a value"},
		}}},
		Notes: []string{
			"The first line on standard output is allow or deny, the second the reason. After a deny that no statement " +
				"caused, the third is the smallest statement that would allow it; where AWS refuses such a resource whatever the " +
				"policies say, the second says so, after an allow too, and there is no third. The exit code is 0 for allow, 1 for deny, and 2 " +
				"for a mistake in the options or in a document, which is told on one line: FILE:LINE:COLUMN: what is wrong.",
			"A resource that is no ARN is one of the partition, region and account that the policies' own ARNs name (of each " +
				"the first that is no wildcard), else of arn:aws:iot:us-east-1:123456789012. So is topic/NAME as the value of iot:LastWillTopic.",
			"aws:CurrentTime, aws:EpochTime and aws:SecureTransport have values by themselves. For a thing that is attached " +
				"exclusively, whose name need not be that of the client, give --var iot:Connection.Thing.ThingName=NAME --attached.",
			"What AWS does not document is decided for the smaller permission. Not known for certain: whether AWS stores " +
				"documents that are refused here, what a variable without a value does in NotResource and in negated conditions, " +
				"and how AWS writes some values of certificates.",
		},
	}
}

func eval(p *cli.Process) cli.ExitCode {
	var o evalOptions
	t := o.table()
	if code, done := t.Parse(p); done {
		return code
	}
	for _, name := range []string{"policy", "action", "resource"} {
		if !t.Given(name) {
			return t.Mistake(p, "--%s is missing", name)
		}
	}
	action, err := policy.ParseAction(o.action)
	if err != nil {
		return t.Mistake(p, "--action: %w", err)
	}
	documents, err := readPolicies(p, o.policies)
	if err != nil {
		fmt.Fprintln(p.Stderr, err)
		return cli.ExitUsage
	}
	home := policy.HomeOf(documents...)
	request := policy.Request{Action: action}
	if request.Resource, err = resourceARN(home, action, o.resource); err != nil {
		return t.Mistake(p, "--resource: %w", err)
	}
	if request.Context, err = o.context(home, request); err != nil {
		return t.Mistake(p, "--var: %w", err)
	}
	decision := policy.Evaluate(documents, request)
	lines, code := []string{"deny", decision.Reason()}, exitDeny
	if decision.Allowed {
		lines[0], code = "allow", exitAllow
		if err := impossible(request); err != nil {
			lines[1] += fmt.Sprintf("; AWS refuses it all the same: %v", err)
		}
	} else if err := impossible(request); err != nil && decision.Statement == nil {
		lines[1] += fmt.Sprintf("; no statement would help: %v", err)
	} else if suggestion := decision.Suggestion(); suggestion != "" {
		lines = append(lines, suggestion)
	}
	if _, err := fmt.Fprintln(p.Stdout, strings.Join(lines, "\n")); err != nil {
		fmt.Fprintf(p.Stderr, "testbroker eval: %v\n", err)
		return cli.ExitUsage
	}
	return code
}

// readPolicies returns an error that is a whole line.
func readPolicies(p *cli.Process, names []string) (documents []*policy.Document, err error) {
	for _, name := range names {
		text, err := readPolicy(p, name)
		var file *fs.PathError
		if errors.As(err, &file) {
			err = file.Err
		}
		if err != nil {
			return nil, fmt.Errorf("testbroker eval: cannot read the policy %s: %w", strconv.Quote(name), err)
		}
		d, err := policy.Parse(name, text)
		if err != nil {
			return nil, err
		}
		documents = append(documents, d)
	}
	return documents, nil
}

// maxDocument is the most bytes that are read of a policy. The longest document has half of them.
const maxDocument = 1 << 20

// readPolicy reads a file, or standard input. Either may be a pipe, and has an end only if whoever writes to it likes.
func readPolicy(p *cli.Process, name string) ([]byte, error) {
	in := p.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxDocument+1))
	if err == nil && len(text) > maxDocument {
		err = fmt.Errorf("it has more than %d bytes, and no policy has so many", maxDocument)
	}
	return text, err
}

// resourceARN returns the ARN of a resource that is given as one, or short.
func resourceARN(home policy.Home, action policy.Action, resource string) (string, error) {
	need := action.ResourceType()
	if need == "" {
		if resource != "*" {
			return "", fmt.Errorf("%v is about the whole account: give '*'", action)
		}
		return resource, nil
	}
	long, short := resource, resource
	if strings.HasPrefix(resource, "arn:") {
		parts := strings.SplitN(resource, ":", 6)
		if len(parts) < 6 {
			return "", fmt.Errorf("%q has fewer than the six parts of an ARN, arn:aws:iot:REGION:ACCOUNT:%s/NAME", resource, need)
		}
		short = parts[5]
	} else {
		long = home.ARN(resource)
	}
	if name, ok := strings.CutPrefix(short, need+"/"); !ok || name == "" {
		return "", fmt.Errorf("%v needs %s/NAME, not %q", action, need, short)
	}
	return long, nil
}

// impossible returns why AWS refuses a request whatever the policies say, or nil.
func impossible(r policy.Request) error {
	parts := strings.SplitN(r.Resource, ":", 6)
	return aws.Possible(r.Action, parts[len(parts)-1])
}

// context returns the values that the options give to variables and condition keys.
func (o *evalOptions) context(home policy.Home, r policy.Request) (policy.Context, error) {
	const (
		clientID   = "iot:ClientId"
		thingName  = "iot:Connection.Thing.ThingName"
		isAttached = "iot:Connection.Thing.IsAttached"
	)
	now := time.Now()
	c := policy.Context{
		"aws:CurrentTime":     {now.UTC().Format(time.RFC3339)},
		"aws:EpochTime":       {strconv.FormatInt(now.Unix(), 10)},
		"aws:SecureTransport": {"true"},
		isAttached:            {strconv.FormatBool(o.attached)},
	}
	client, thing := o.clientID, o.thing
	if client == "" && r.Action == policy.Connect {
		_, client, _ = strings.Cut(r.Resource, ":client/")
	}
	if o.attached && client == "" {
		client = thing
	}
	if o.attached && thing == "" {
		thing = client
	}
	if client != "" {
		c[clientID] = []string{client}
	}
	if o.attached && thing != "" {
		c[thingName] = []string{thing}
	}
	exclusive, err := o.addValues(c, home)
	if err != nil {
		return nil, err
	}
	if c[thingName] != nil && !exclusive[thingName] && (c[clientID] == nil || c[clientID][0] != c[thingName][0]) {
		c[isAttached] = []string{"false"} // a thing counts only while it is named like the client
	}
	if c[isAttached][0] != "true" {
		for key := range c {
			if key != isAttached && strings.HasPrefix(key, "iot:Connection.Thing.") {
				delete(c, key)
			}
		}
	}
	return c, nil
}

// addValues adds those of --var, and says which keys they are.
func (o *evalOptions) addValues(c policy.Context, home policy.Home) (given map[string]bool, err error) {
	given = map[string]bool{}
	for _, text := range o.values {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return nil, fmt.Errorf("%q is not KEY=VALUE", text)
		}
		key, err := policy.Key(name)
		if err != nil {
			return nil, fmt.Errorf("unknown key %w", err)
		}
		if key == "iot:LastWillTopic" && !strings.HasPrefix(value, "arn:") {
			if value, err = resourceARN(home, policy.Publish, value); err != nil {
				return nil, fmt.Errorf("iot:LastWillTopic is that of a publish: %w", err)
			}
		}
		if !given[key] {
			delete(c, key)
		}
		given[key] = true
		c[key] = append(c[key], value)
	}
	return given, nil
}
