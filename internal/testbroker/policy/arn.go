package policy

import (
	"cmp"
	"strings"
)

// arn is an Amazon Resource Name, cut at its first five colons: "arn", partition, service, region, account, resource.
type arn [6]string

const (
	partitionPart = 1
	servicePart   = 2
	regionPart    = 3
	accountPart   = 4
	resourcePart  = 5
)

// cutARN returns the parts of an ARN, or false if text is none.
func cutARN(text string) (a arn, ok bool) {
	for i := range resourcePart {
		if a[i], text, ok = strings.Cut(text, ":"); !ok {
			return arn{}, false
		}
	}
	a[resourcePart] = text
	return a, a[0] == "arn"
}

// arnPattern is an ARN as a policy writes it, with wildcards and variables. They stand for characters of one part, but
// a '*' at the end of a part goes on into the parts that follow if the text has fewer than six. So "arn:aws:iot:*" is
// every ARN of AWS IoT.
type arnPattern struct {
	text     string
	all      bool         // "*"
	readings [][6]pattern // the ways to make six parts of it; almost always one
}

// newARNPattern returns false if p, compiled from text, has not six parts and no '*' in the right place.
func newARNPattern(text string, p pattern) (arnPattern, bool) {
	if text == "*" {
		return arnPattern{text: text, all: true}, true
	}
	readings := read(nil, p.cut(len(arn{})))
	return arnPattern{text: text, readings: readings}, len(readings) > 0
}

// read returns the ways to make six parts of those already read and of what is left.
func read(done, left []pattern) (readings [][6]pattern) {
	missing := len(arn{}) - len(done) - len(left)
	if len(left) == 0 {
		if missing == 0 {
			readings = append(readings, [6]pattern(done))
		}
		return readings
	}
	part := left[0]
	most := 0
	if len(part) > 0 && part[len(part)-1].kind == anyRun {
		most = missing
	}
	done = append(done[:len(done):len(done)], part)
	for range most + 1 {
		readings = append(readings, read(done, left[1:])...)
		done = append(done[:len(done):len(done)], pattern{{kind: anyRun}})
	}
	return readings
}

// match says whether p matches a. If it depends on a variable without a value, that is returned.
func (p *arnPattern) match(a *arn, c Context) (outcome, key) {
	if p.all {
		return yes, key{}
	}
	result, missing := no, key{}
	for i := range p.readings {
		o, k := matchParts(&p.readings[i], a, c)
		if o == yes {
			return yes, key{}
		}
		if o == unresolved {
			result, missing = o, k
		}
	}
	return result, missing
}

func matchParts(parts *[6]pattern, a *arn, c Context) (outcome, key) {
	result, missing := yes, key{}
	for i, part := range parts {
		resolved, k, ok := part.resolve(c)
		if !ok {
			result, missing = unresolved, k
		} else if !resolved.match(a[i]) {
			return no, key{}
		}
	}
	return result, missing
}

// outcome is the answer to whether something matches. Of several that must all be yes the least counts, of several
// of which one must be yes the greatest.
type outcome uint8

const (
	no         outcome = iota
	unresolved         // it depends on a variable that has no value
	yes
)

func (o outcome) not() outcome { return yes - o }

func outcomeOf(b bool) outcome {
	if b {
		return yes
	}
	return no
}

// Home is where the resources of an account are.
type Home struct {
	Partition, Region, Account string
}

// HomeOf returns the home that the ARNs of the documents name: of partition, region and account each the first that is
// written without wildcards, where those of resources come before those in conditions. What none of them names is "aws",
// "us-east-1" and "123456789012".
func HomeOf(documents ...*Document) Home {
	var home Home
	for _, d := range documents {
		home.fill(d.home)
	}
	home.fill(Home{"aws", "us-east-1", "123456789012"})
	return home
}

// learn sets what is not yet known, from an ARN of a policy.
func (h *Home) learn(p *arnPattern) {
	if len(p.readings) == 0 {
		return
	}
	parts := &p.readings[0]
	partition, _ := parts[partitionPart].plain()
	region, _ := parts[regionPart].plain()
	account, _ := parts[accountPart].plain()
	h.fill(Home{partition, region, account})
}

// fill sets what is not yet known.
func (h *Home) fill(by Home) {
	h.Partition = cmp.Or(h.Partition, by.Partition)
	h.Region = cmp.Or(h.Region, by.Region)
	h.Account = cmp.Or(h.Account, by.Account)
}

// ARN returns the ARN of a resource of AWS IoT Core: of "topic/a/b", "topicfilter/a/#", "client/c1".
func (h Home) ARN(resource string) string {
	return "arn:" + h.Partition + ":iot:" + h.Region + ":" + h.Account + ":" + resource
}
