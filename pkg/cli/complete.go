package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"

	"github.com/rollspan/rollspan/pkg/watcher"
)

const (
	// completeWithin is how long somebody who presses Tab waits for the API server.
	completeWithin = 3 * time.Second
	// mostCompletions is how many names a shell is given.
	mostCompletions = 500
	kindNamespace   = "Namespace"
)

// complete has a shell complete the object that a command is about, its namespace and its context.
func (q *question) complete(cmd *cobra.Command) {
	cmd.ValidArgsFunction = q.asker.completeObject(func(asked) bool { return true })
	q.asker.completeFlags(cmd)
}

// completeFlags completes the flags of the cluster.
func (k *asker) completeFlags(cmd *cobra.Command) {
	const none = cobra.ShellCompDirectiveNoFileComp
	for flag, names := range map[string]func(context.Context, string) []string{
		"namespace": func(ctx context.Context, prefix string) []string {
			return k.namesOf(ctx, kindNamespace, prefix)
		},
		"context": func(_ context.Context, prefix string) []string {
			return beginning(k.connection.Contexts(), "", prefix)
		},
		"output": func(_ context.Context, prefix string) []string {
			return beginning([]string{string(formatJSON)}, "", prefix)
		},
	} {
		_ = cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
			return names(cmd.Context(), prefix), none
		}) // the flags are there
	}
}

// completeObject completes KIND/NAME, and KIND NAME, of the kinds that are wanted.
func (k *asker) completeObject(wanted func(asked) bool) cobra.CompletionFunc {
	const none = cobra.ShellCompDirectiveNoFileComp
	return func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		what, name, slash := strings.Cut(prefix, "/")
		before := what + "/"
		switch {
		case len(args) > 1, len(args) == 1 && (slash || strings.Contains(args[0], "/")):
			return nil, none
		case len(args) == 1:
			what, name, before = args[0], prefix, ""
		case !slash:
			var kinds []string
			for _, a := range askable {
				if wanted(a) {
					kinds = append(kinds, a.names[0]+"/")
				}
			}
			return beginning(kinds, "", prefix), none | cobra.ShellCompDirectiveNoSpace
		}
		i := slices.IndexFunc(askable, func(a asked) bool { return slices.Contains(a.names, strings.ToLower(what)) && wanted(a) })
		if i < 0 {
			return nil, none
		}
		return beginning(k.namesOf(cmd.Context(), askable[i].kind, name), before, ""), none
	}
}

// beginning are the texts that begin with a prefix, each behind some text, in order.
func beginning(texts []string, behind, prefix string) []string {
	var found []string
	for _, text := range slices.Sorted(slices.Values(texts)) {
		if strings.HasPrefix(text, prefix) {
			found = append(found, behind+text)
		}
	}
	return found
}

// namesOf asks the API server for the names of objects of a kind that begin with a prefix, in the
// namespace that is asked about. There are none where it does not answer in time.
func (k *asker) namesOf(ctx context.Context, kind, prefix string) (found []string) {
	resource, ok := watcher.ResourceOf(kind)
	config, err := k.config()
	if !ok || err != nil {
		return nil
	}
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return nil
	}
	var of metadata.ResourceInterface = client.Resource(resource)
	if kind != kindNamespace {
		of = client.Resource(resource).Namespace(k.namespace)
	}
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completeWithin)
	defer cancel()
	// client-go's pager asks for pages ahead of time, in a goroutine that outlives the answer.
	page := metav1.ListOptions{Limit: mostCompletions}
	for {
		list, err := of.List(ctx, page)
		if err != nil {
			return nil
		}
		for i := range list.Items {
			if name := list.Items[i].Name; strings.HasPrefix(name, prefix) {
				found = append(found, name)
			}
		}
		page.Continue = list.Continue
		if page.Continue == "" || len(found) >= mostCompletions {
			return beginning(found[:min(len(found), mostCompletions)], "", prefix)
		}
	}
}
