//! Every artifact is parsed back with its own grammar: Python with its compiler and stubs of Airflow, Terraform with a
//! parser of HCL and its own formatter, resources of Strimzi with a strict reader, JSON with the types that `merge-job` reads it with.

#[path = "render/airflow.rs"]
mod airflow;
#[path = "render/artifacts.rs"]
mod artifacts;
#[path = "render/determinism.rs"]
mod determinism;
#[path = "render/hostile.rs"]
mod hostile;
#[path = "render/hostile_model.rs"]
mod hostile_model;
#[path = "render/project.rs"]
mod project;
#[path = "render/sources.rs"]
mod sources;
#[path = "render/strimzi.rs"]
mod strimzi;
#[path = "render/terraform.rs"]
mod terraform;
#[path = "render/wait_for_running.rs"]
mod wait_for_running;
