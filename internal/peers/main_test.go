package peers

import (
	"flag"
	"os"
	"testing"
)

// TestMain lets all brokers be tested at the same time, however few cores there are: the tests wait more than they work.
func TestMain(m *testing.M) {
	flag.Parse()
	parallel := false
	flag.Visit(func(f *flag.Flag) { parallel = parallel || f.Name == "test.parallel" })
	if !parallel {
		flag.Set("test.parallel", "16")
	}
	os.Exit(m.Run())
}
