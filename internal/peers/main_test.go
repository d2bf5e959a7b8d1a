package peers

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// TestMain lets all brokers be tested at the same time, however few cores there are: the tests wait more than they work.
// A binary that is told so is a device with flaws instead: see TestAdvisor.
func TestMain(m *testing.M) {
	if flaws := os.Getenv(flawsVariable); flaws != "" {
		fmt.Fprintln(os.Stderr, beFlawed(flaws, os.Args[1:]))
		os.Exit(1)
	}
	flag.Parse()
	parallel := false
	flag.Visit(func(f *flag.Flag) { parallel = parallel || f.Name == "test.parallel" })
	if !parallel {
		flag.Set("test.parallel", "16")
	}
	os.Exit(m.Run())
}
