package cli

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/rollspan/rollspan/pkg/causality"
)

func (c *conversion) addNodeFlags(fs *pflag.FlagSet) {
	fs.StringSliceVar(&c.engine.NodeProblemConditions, "node-problem-conditions", nil,
		"`TYPE` of a condition of Nodes that is a problem while it is True, beside Kubernetes' own and those that node-problem-detector ships, repeatable; of others a Warning about the Node has to say so")
}

func (c *conversion) validateNodeFlags() error {
	for _, name := range c.engine.NodeProblemConditions {
		if !causality.IsNodeProblem(name) {
			return fmt.Errorf("--node-problem-conditions: %q cannot be a problem's: give a type as in a Node's status.conditions, such as GPUHung, that is none of Kubernetes' own", name)
		}
	}
	return nil
}
