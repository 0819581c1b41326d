package controlplane

import (
	"flag"
	"os"
	"testing"
)

// TestMain lets more tests run beside each other than there are processors: they
// wait for a cluster most of the time.
func TestMain(m *testing.M) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		if err := flag.Set("test.parallel", "8"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
