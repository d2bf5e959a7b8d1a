package cli

import "testing"

func TestColorsAreForTerminalsThatShowThem(t *testing.T) {
	for _, test := range []struct {
		name     string
		terminal bool
		when     string
		env      map[string]string
		want     bool
	}{
		{"terminal", true, "auto", map[string]string{"TERM": "xterm"}, true},
		{"no option", true, "", map[string]string{"TERM": "xterm"}, true},
		{"file or pipe", false, "auto", map[string]string{"TERM": "xterm"}, false},
		{"NO_COLOR", true, "auto", map[string]string{"TERM": "xterm", "NO_COLOR": "1"}, false},
		{"empty NO_COLOR", true, "auto", map[string]string{"TERM": "xterm", "NO_COLOR": ""}, true},
		{"dumb terminal", true, "auto", map[string]string{"TERM": "dumb"}, false},
		{"unknown terminal", true, "auto", nil, false},
		{"always", false, "always", map[string]string{"TERM": "dumb", "NO_COLOR": "1"}, true},
		{"never", true, "never", map[string]string{"TERM": "xterm"}, false},
	} {
		p := &Process{Getenv: func(name string) string { return test.env[name] }}
		if got := p.Colored(test.terminal, test.when); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}
