package dcgmfake

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Node is the machine that the library shows.
type Node struct {
	t      testing.TB
	folder string
}

// NewNode returns a node with a scenario. The library of this process, and of
// those that it starts, shows it until the test ends.
func NewNode(t testing.TB, scenario string) *Node {
	t.Helper()
	n := &Node{t: t, folder: t.TempDir()}
	n.Show(scenario)
	t.Setenv(nodeEnv, n.folder)
	return n
}

// Show changes the scenario, all of it at once.
func (n *Node) Show(scenario string) {
	n.t.Helper()
	next := filepath.Join(n.folder, "next")
	if err := os.WriteFile(next, []byte(scenario+"\n"), 0o600); err != nil {
		n.t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(n.folder, "scenario")); err != nil {
		n.t.Fatal(err)
	}
}

// Calls returns the calls so far that changed something.
func (n *Node) Calls() []string {
	n.t.Helper()
	text, err := os.ReadFile(filepath.Join(n.folder, "calls"))
	if err != nil && !os.IsNotExist(err) {
		n.t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// TwoH200 is a node of two GPUs: the first decodes, the second prefills. The
// activities are those measured on one H200 with a model of the shape of
// Qwen3-32B: decode at batch 16 and context 4,096, prefill of 2,048 tokens.
const TwoH200 = `
gpu 0
text gpu 0 54 GPU-aaaaaaaa-0000-0000-0000-000000000000
text gpu 0 50 NVIDIA H200
text gpu 0 57 00000000:19:00.0
value gpu 0 100 i 1980
value gpu 0 155 d 529
value gpu 0 203 i 100
value gpu 0 204 i 92
value gpu 0 252 i 130000
value gpu 0 1001 d 0.993
value gpu 0 1002 d 0.688
value gpu 0 1004 d 0.061
value gpu 0 1005 d 0.716
gpu 1
text gpu 1 54 GPU-bbbbbbbb-0000-0000-0000-000000000000
text gpu 1 50 NVIDIA H200
text gpu 1 57 00000000:3B:00.0
value gpu 1 100 i 1980
value gpu 1 155 d 693
value gpu 1 203 i 100
value gpu 1 204 i 28
value gpu 1 252 i 130000
value gpu 1 1001 d 1
value gpu 1 1002 d 0.958
value gpu 1 1004 d 0.770
value gpu 1 1005 d 0.211
`
