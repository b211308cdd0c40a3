package charts

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// What the chart makes of each set of values, to the letter.
func TestGolden(t *testing.T) {
	for _, set := range sets(t) {
		t.Run(set, func(t *testing.T) {
			got := short(render(t, set))
			golden := filepath.Join("testdata", set+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("go test ./charts -update writes it anew (-golden +now):\n%s", diff)
			}
		})
	}
}

// secret is what differs with every rendering: certificates and keys in PEM, base64-coded.
var secret = regexp.MustCompile(`LS0tLS1CRUdJTi[A-Za-z0-9+/=]{200,}`)

// short is a manifest without certificates, and without what is a file of its own and held against it by other tests.
func short(manifest string) string {
	manifest = secret.ReplaceAllString(manifest, "(made anew)")
	var out []string
	for text := range strings.SplitSeq(manifest, "\n---\n") {
		lines := strings.Split(text, "\n")
		for i, line := range lines {
			if cut := line == "spec:" && strings.Contains(text, "kind: CustomResourceDefinition") || line == "data:" && strings.Contains(text, "kind: ConfigMap"); cut {
				lines = append(lines[:i+1], "  # and so on")
				break
			}
		}
		out = append(out, strings.Join(lines, "\n"))
	}
	return strings.TrimSpace(strings.Join(out, "\n---\n")) + "\n"
}
