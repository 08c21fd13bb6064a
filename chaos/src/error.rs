//! Why a run fails.
