package cli

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

var rewriteFlags = flag.Bool("rewrite-flags", false, "write docs/flags.md")

// TestFlagsAreDocumented has docs/flags.md be what the commands say of their flags.
func TestFlagsAreDocumented(t *testing.T) {
	const file = "../../docs/flags.md"
	var b strings.Builder
	b.WriteString(`# Flags

All flags of all commands, as ` + "`rollspan COMMAND --help`" + ` has them. Those of ` + "`run`" + ` can be in a file, too
(` + "`--config`" + `). The standard variables ` + "`OTEL_EXPORTER_OTLP_*`" + ` are honored, and flags win over them.

This page is made by ` + "`go test ./pkg/cli -run FlagsAreDocumented -rewrite-flags`" + `.
`)
	root := (&app{}).rootCommand()
	table := func(title string, fs *pflag.FlagSet) {
		fmt.Fprintf(&b, "\n## %s\n\n| flag | default | meaning |\n|---|---|---|\n", title)
		fs.VisitAll(func(f *pflag.Flag) {
			if f.Hidden {
				return
			}
			value, usage := pflag.UnquoteUsage(f)
			name := "--" + f.Name
			if f.Shorthand != "" {
				name = "-" + f.Shorthand + ", " + name
			}
			if value != "" {
				name += " " + value
			}
			byDefault := f.DefValue
			switch byDefault {
			case "", "[]", "false", "0", "0s":
				byDefault = ""
			default:
				byDefault = "`" + strings.Trim(byDefault, "[]") + "`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", name, byDefault, strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;", "\n", " ").Replace(usage))
		})
	}
	table("Every command", root.PersistentFlags())
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() && c.Name() != "help" && c.LocalNonPersistentFlags().HasAvailableFlags() {
			fs := c.LocalNonPersistentFlags()
			fs.SortFlags = false
			table("rollspan "+c.Name(), fs)
		}
	}
	if *rewriteFlags {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("docs/flags.md is not what the commands say; -rewrite-flags writes it anew")
	}
}

// TestDocumentedCommands has each command line of rollspan's in the documentation be one that is
// taken, and each target of make be one.
func TestDocumentedCommands(t *testing.T) {
	var files []string
	for _, pattern := range []string{"../../*.md", "../../docs/*.md", "../../deploy/examples/*/README.md", "../../deploy/helm/rollspan/README.md", "../../test/chart/testdata/*.yaml"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	command := regexp.MustCompile(`^(?:# )? {4,}(?:[^#]*\| )?(?:\$ |kubectl .* -- )?(?:bin/|/)?(rollspan|make) (.*)$`)
	ran := map[string]int{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(strings.ReplaceAll(string(content), "\\\n", "")) {
			m := command.FindStringSubmatch(strings.TrimRight(line, "\n"))
			if m == nil {
				continue
			}
			text, _, _ := strings.Cut(m[2], " #")
			text, _, _ = strings.Cut(text, " | ")
			args := strings.Fields(text)
			ran[m[1]]++
			if m[1] == "make" {
				if !strings.Contains(string(makefile), "\n"+args[0]+":") {
					t.Errorf("%s: make has no target %s", file, args[0])
				}
				continue
			}
			if err := takes(args); err != nil {
				t.Errorf("%s: rollspan %s: %v", file, m[2], err)
			}
		}
	}
	if ran["rollspan"] < 10 || ran["make"] < 5 {
		t.Errorf("the documentation shows %v", ran)
	}
}

// takes says what is wrong with a command line, short of running it.
func takes(args []string) error {
	root := (&app{}).rootCommand()
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	cmd.InitDefaultHelpFlag()
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if cmd == root || cmd.RunE == nil && cmd.Run == nil {
		return fmt.Errorf("%s is no command", strings.Join(args, " "))
	}
	if slices.Contains(rest, "--help") {
		return nil
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}
