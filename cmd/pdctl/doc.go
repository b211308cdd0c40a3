// Command pdctl is a person's tool for PDAutoscaler: it says what the autoscaler decided and why, and answers capacity
// questions without a cluster.
//
// It reads: resources through the API server, decision records from files or from the controller, and pkg/perfmodel and
// pkg/capacity. It links no server and no controller, and writes nothing but the file that -o names.
//
//	main.go, root.go      the command line and its exit codes
//	explain.go            a decision in sentences (pkg/report), replayed where a record is given
//	whynot.go             what speaks against other counts than those of a decision
//	doctor.go             what keeps a service from being scaled (pkg/doctor), seen with pkg/workload as the controller sees it
//	snapshot.go           the last decision record of a running controller
//	predict.go, plan.go   step times of a replica; counts that hold the objectives
//	models.go, gpus.go    the catalogue
//	service.go            --model, --gpu and the deployment's options as a perfmodel.Replica
//	cluster.go            the API server that the kubeconfig names
//	flags.go, output.go   values of flags, -o json|yaml|table
package main
