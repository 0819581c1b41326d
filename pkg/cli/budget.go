package cli

import (
	"fmt"
	"math"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/rollspan/rollspan/pkg/spans/budget"
)

// traceBudget is what a trace may take where it is sent.
type traceBudget struct {
	bytes string
	budget.Options
}

func (b *traceBudget) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&b.bytes, "max-trace-bytes", resource.NewQuantity(budget.DefaultMaxBytes, resource.DecimalSI).String(),
		"how large a trace may be, as Tempo counts it against its max_bytes_per_trace; what is left out beyond that is summed up; 0 for any size")
	fs.IntVar(&b.MaxSpans, "max-trace-spans", budget.DefaultMaxSpans,
		"how many spans a trace may have; 0 for any number")
}

func (b *traceBudget) validate() error {
	q, err := resource.ParseQuantity(b.bytes)
	switch {
	case err != nil:
		return fmt.Errorf("--max-trace-bytes: %q is not a number of bytes, such as 4M", b.bytes)
	case q.Sign() < 0 || !q.IsZero() && q.CmpInt64(budget.MinBytes) < 0 || q.CmpInt64(math.MaxInt32) > 0:
		return fmt.Errorf("--max-trace-bytes: %s is not a size that a trace can be held to; it must be %dk or more and less than 2Gi, or 0 for any size", b.bytes, budget.MinBytes/1000)
	case b.MaxSpans < 0 || b.MaxSpans > 0 && b.MaxSpans < budget.MinSpans:
		return fmt.Errorf("--max-trace-spans: %d is too few; it must be %d or more, or 0 for any number", b.MaxSpans, budget.MinSpans)
	}
	b.MaxBytes = int(q.Value())
	return nil
}

// newBudget returns what keeps the traces that are sent within their budget. It is nil where
// traces are printed for people, who see all of them.
func (c *conversion) newBudget(clusterUID string) *budget.Budget {
	if c.format == outputTree || c.budget.Options == (budget.Options{}) {
		return nil
	}
	encoder, err := c.newEncoder(clusterUID)
	if err != nil {
		return nil // who sends needs an encoder, too, and says so
	}
	return budget.New(c.budget.Options, encoder.Sizes())
}
