//! Switch: who points where in Lambda and Secrets Manager, and the way back.
