-- Purpose: let the server find the types of the parameters of a normalized statement; this connection only.
-- Needs: the rights that the statement needs.
PREPARE samaops_explained AS {statement}
