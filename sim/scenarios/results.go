package scenarios

import (
	"embed"
	"fmt"
)

//go:embed results/*.yaml
var resultFiles embed.FS

// ResultNames are the scenarios of the table in docs/simulator.md, one per column, in its order. They are tuned to an
// attainment and compared, where those of the gallery are looked at. Some read a published trace, which is not in the repository.
func ResultNames() []string {
	return []string{"azure-x24", "azure-x6", "azure-code", "mooncake-x4", "mooncake-x2", "swing", "steady", "day"}
}

// ReadResult returns the text of one of them.
func ReadResult(name string) (string, error) {
	raw, err := resultFiles.ReadFile("results/" + name + ".yaml")
	if err != nil {
		return "", fmt.Errorf("scenario %q is not in the table of results; allowed are %v", name, ResultNames())
	}
	return string(raw), nil
}
