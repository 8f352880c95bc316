-- Purpose: a transaction in which nothing can be changed, whatever a statement tries. Needs: any role.
BEGIN TRANSACTION READ ONLY
