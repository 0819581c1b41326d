package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// maxConfigBytes is far more than all flags there are.
const maxConfigBytes = 1 << 20

// configFile is a file that has flags of a command, by their names: a mapping in YAML,
// with a list for a flag that can be given several times. What the command line says wins
// over it, and it wins over the environment.
type configFile struct{ path string }

func (c *configFile) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&c.path, "config", "", "YAML `FILE` with flags by their names, such as 'otlp-endpoint: http://collector:4317'; flags given here win")
}

// apply sets the flags of a command that the file has and the command line has not. Its
// error names the file, and the lines and fields of all that is wrong.
func (c *configFile) apply(cmd *cobra.Command) error {
	if c.path == "" {
		return nil
	}
	fields, err := c.read()
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	given := map[string]bool{}
	cmd.Flags().Visit(func(f *pflag.Flag) { given[f.Name] = true })
	set := map[string]bool{}
	var errs []error
	for i := 0; i+1 < len(fields); i += 2 {
		key, value := fields[i], fields[i+1]
		switch flag := cmd.Flags().Lookup(key.Value); {
		case flag == nil || flag.Name == "config" || flag.Name == "help":
			err = unknownField(cmd, key.Value)
		case set[flag.Name]:
			err = fmt.Errorf("%s is there twice", key.Value)
		default:
			set[flag.Name] = true
			err = applyField(cmd.Flags(), flag, value, given[flag.Name])
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("--config: %s:%d: %w", c.path, key.Line, err))
		}
	}
	return errors.Join(errs...)
}

// read returns the names and values of the file in turn.
func (c *configFile) read() ([]*yaml.Node, error) {
	file, err := os.Open(c.path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	content, err := io.ReadAll(io.LimitReader(file, maxConfigBytes+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxConfigBytes {
		return nil, fmt.Errorf("%s: it has more than %d bytes, and is no configuration", c.path, maxConfigBytes)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var document, more yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, nil // all of it is comments
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", c.path, err)
	}
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: it has more than one YAML document", c.path)
	}
	top := document.Content[0]
	switch {
	case top.Kind == yaml.ScalarNode && top.Tag == "!!null":
		return nil, nil
	case top.Kind != yaml.MappingNode:
		return nil, fmt.Errorf("%s:%d: it does not begin with a flag's name and a colon, such as 'otlp-endpoint: http://collector:4317'", c.path, top.Line)
	}
	return top.Content, nil
}

func unknownField(cmd *cobra.Command, name string) error {
	err := fmt.Errorf("%s is not a flag of %s", name, cmd.CommandPath())
	if near := nearestFlag(cmd, name); near != "" {
		err = fmt.Errorf("%w; did you mean %s?", err, near)
	}
	return err
}

// inFile is the value of a flag that means something else in a file: there it is another command's.
type inFile interface{ setInFile(value string) }

// applyField sets a flag to what a file says, unless the command line has it.
func applyField(fs *pflag.FlagSet, flag *pflag.Flag, value *yaml.Node, given bool) error {
	if err := checkField(flag, value); err != nil {
		return err
	}
	if other, ok := flag.Value.(inFile); ok {
		other.setInFile(value.Value)
		return nil
	}
	if given {
		return nil
	}
	return setField(fs, flag, value)
}

// checkField finds what cannot be a value of the flag.
func checkField(flag *pflag.Flag, value *yaml.Node) error {
	scalar := func(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag != "!!null" }
	_, list := flag.Value.(pflag.SliceValue)
	switch {
	case scalar(value):
		return nil
	case value.Kind == yaml.ScalarNode:
		return fmt.Errorf("%s has no value", flag.Name)
	case value.Kind != yaml.SequenceNode || !slices.ContainsFunc(value.Content, scalar) && len(value.Content) > 0:
		return fmt.Errorf("%s is neither a value nor a list of values", flag.Name)
	case !list:
		return fmt.Errorf("%s is a list, and takes one value", flag.Name)
	}
	for _, item := range value.Content {
		if !scalar(item) {
			return fmt.Errorf("%s:%d: an item of the list is no value", flag.Name, item.Line)
		}
	}
	return nil
}

// setField sets a flag as the command line would.
func setField(fs *pflag.FlagSet, flag *pflag.Flag, value *yaml.Node) error {
	if value.Kind == yaml.ScalarNode {
		return plainValue(fs.Set(flag.Name, value.Value))
	}
	items := make([]string, 0, len(value.Content))
	for _, item := range value.Content {
		items = append(items, item.Value)
	}
	flag.Changed = true
	return flag.Value.(pflag.SliceValue).Replace(items)
}
