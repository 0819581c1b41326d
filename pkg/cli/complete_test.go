//go:build unix

package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// names are so many names of objects that begin with a prefix, in order.
func names(prefix string, n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("%s-%04d", prefix, i))
	}
	return all
}

// An API server hands out the names in pages. One that is on a later page is found, a shell is given
// no more than it can show, and where the pages break off it is given none. No page is asked for of
// which no name is shown, as nobody waits for its answer.
func TestCompleteFindsNamesOnLaterPages(t *testing.T) {
	all := slices.Concat(names("app", 1200), names("web", 3))
	var away bool
	var pages atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pages.Add(1)
		query := r.URL.Query()
		limit, _ := strconv.Atoi(query.Get("limit"))
		from, _ := strconv.Atoi(query.Get("continue")) // of the first page there is none
		if limit == 0 || away && from > 0 {
			http.Error(w, "away", http.StatusInternalServerError)
			return
		}
		list := metav1.PartialObjectMetadataList{TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadataList"}}
		to := min(from+limit, len(all))
		for _, name := range all[from:to] {
			list.Items = append(list.Items, metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name}})
		}
		if to < len(all) {
			list.Continue = strconv.Itoa(to)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(list)
	}))
	defer server.Close()
	file := kubeconfigOf(t, server.URL, "c", true)
	completes := func(prefix string, want []string, of int32) {
		t.Helper()
		pages.Store(0)
		out, errs, code := rollspan(t, "", "__complete", "status", "--kubeconfig", file, "deploy", prefix)
		lines := strings.Fields(out)
		if got := lines[:max(len(lines)-1, 0)]; code != ExitOK || !slices.Equal(got, want) { // the last is the directive
			t.Errorf("exit %d, %q is completed by %d names, want %d\n%s\n%s", code, prefix, len(got), len(want), out, errs)
		}
		if n := pages.Load(); n != of {
			t.Errorf("%q: %d pages were asked for, want %d", prefix, n, of)
		}
	}
	completes("web", names("web", 3), 3)
	completes("app", names("app", mostCompletions), 1)
	completes("db", nil, 3)
	away = true
	completes("web", nil, 2)
}
