package cli

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// set stores what texts say. It keeps the last, unless the option collects.
func (o *Option) set(texts []string) (err error) {
	last := texts[len(texts)-1]
	switch value := o.Value.(type) {
	case *string:
		if err := o.checkText(last); err != nil {
			return err
		}
		*value = last
	case *[]string:
		for _, text := range texts {
			if err := o.checkText(text); err != nil {
				return err
			}
		}
		*value = texts
	case *int:
		*value, err = parseNumber(last, o.Min, o.Max)
	case *time.Duration:
		*value, err = parseTime(last, o.Min, o.Max)
	case *bool:
		*value, err = parseSwitch(last)
	default:
		panic(fmt.Sprintf("cli: --%s has a value of type %T", o.Name, o.Value))
	}
	return err
}

// setVariable is set for the text of an environment variable.
func (o *Option) setVariable(text string) error {
	if _, several := o.Value.(*[]string); several {
		texts := strings.Fields(text)
		if len(texts) == 0 {
			return errors.New("it holds nothing but spaces")
		}
		return o.set(texts)
	}
	return o.set([]string{text})
}

func (o *Option) checkText(s string) error {
	if s == "" && !o.Empty {
		return errors.New("the value is empty")
	}
	if o.Choices != nil && !slices.Contains(o.Choices, s) {
		return errorf("%s is none of %s", quote(s), strings.Join(o.Choices, ", "))
	}
	return nil
}

func parseNumber(s, least, most string) (int, error) {
	n, err := strconv.Atoi(s)
	if errors.Is(err, strconv.ErrRange) {
		return 0, errorf("%s is too large", quote(s))
	}
	if err != nil {
		return 0, errorf("%s is not a whole number", quote(s))
	}
	if limit, err := strconv.Atoi(least); err == nil && n < limit {
		return 0, errorf("%d is less than %s", n, least)
	}
	if limit, err := strconv.Atoi(most); err == nil && n > limit {
		return 0, errorf("%d is more than %s", n, most)
	}
	return n, nil
}

func parseTime(s, least, most string) (time.Duration, error) {
	d, err := readTime(s)
	if err != nil {
		return 0, err
	}
	if d < 0 {
		return 0, errorf("%s is less than 0", quote(s))
	}
	if limit, err := readTime(least); err == nil && d < limit {
		return 0, errorf("%s is less than %s", quote(s), least)
	}
	if limit, err := readTime(most); err == nil && d > limit {
		return 0, errorf("%s is more than %s", quote(s), most)
	}
	return d, nil
}

// readTime reads a plain number as seconds, and anything else as [time.ParseDuration] does.
func readTime(s string) (time.Duration, error) {
	text := s
	if strings.Trim(s, "+-.0123456789") == "" {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil && len(s) >= len("9223372037") && strings.Trim(s, "0123456789") == "":
		return 0, errorf("%s seconds is too long", quote(s))
	case err != nil:
		return 0, errorf("%s is not a time such as 2, 0.5, 250ms or 1m30s", quote(s))
	}
	return d, nil
}

func parseSwitch(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "1", "true", "yes", "on":
		return true, nil
	case "0", "false", "no", "off":
		return false, nil
	}
	return false, errorf("%s is not one of 1, 0, true, false, yes, no, on, off", quote(s))
}

// quote makes one short line of s, whatever it holds.
func quote(s string) string {
	const most = 60
	if len(s) <= most {
		return strconv.Quote(s)
	}
	cut := most
	for !utf8.RuneStart(s[cut]) && cut > most-utf8.UTFMax {
		cut--
	}
	return fmt.Sprintf("%s... (%d bytes)", strconv.Quote(s[:cut]), len(s))
}

// printable is quote for what needs no quotes if it has no special characters.
//
//go:noinline
func printable(s string) string {
	if q := quote(s); q != `"`+s+`"` {
		return q
	}
	return s
}
