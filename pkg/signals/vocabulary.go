package signals

// Engines lists the engines whose metric names are known.
func Engines() []string { return []string{"dynamo-vllm", "vllm"} }
