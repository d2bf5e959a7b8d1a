package cli

import "strings"

// UTF8 reports whether the locale says that terminals show UTF-8: the first of LC_ALL, LC_CTYPE and LANG that is set
// decides.
func UTF8(p *Process) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := strings.ToLower(p.Getenv(name)); locale != "" {
			return strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
		}
	}
	return false
}
